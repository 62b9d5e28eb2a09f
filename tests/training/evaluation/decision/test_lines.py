"""Figures of systems on a held-out set: what counts, on how much data, and comparisons."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.held_out import GAINS, held_out, scored, system
from training.data.held_out import ALL
from training.data.lists import FieldList
from training.evaluation.decision.lines import View, difference, kappa_lines, kept_lead, line, set_lines, share
from training.evaluation.decision.scoring import BadScores, score_set
from training.evaluation.systems.interface import HeadScores, System

WHOLE = View(held_out(), ALL, "overall")


def test_a_line_says_on_how_much_data_it_rests() -> None:
    [found] = scored(system("student", 0.2))
    ndcg = line(WHOLE, found, "ndcg@10")
    assert ndcg is not None
    assert (ndcg.lists, ndcg.clusters, ndcg.pairs) == (60, 20, 360)
    assert 0.8 < ndcg.found.low < ndcg.found.mean < ndcg.found.high <= 1


def test_a_system_that_reads_fewer_lists_has_its_own_count_and_is_compared_on_common_ones() -> None:
    student, teacher = scored(system("student", 0.4), dataclasses.replace(system("teacher", 0.0), most_lists=15))
    own, both = line(WHOLE, teacher, "ndcg@10"), difference(WHOLE, student, teacher, "ndcg@10")
    assert own is not None
    assert both is not None
    assert own.lists == 15
    assert both.lists == 15
    assert both.found.high < 0


def test_a_system_is_not_asked_about_lists_that_it_was_trained_on() -> None:
    lists = held_out().lists
    marked = [dataclasses.replace(each, already_trained_on=frozenset({"jobs-v1"})) for each in lists[:20]]
    some = dataclasses.replace(held_out(), lists=(*marked, *lists[20:]))
    trained, other = scored(system("jobs-v1", 0.1, "live"), system("bm25", 0.1, "baseline"), of=some)
    views = [line(View(some, ALL, "overall"), each, "ndcg@10") for each in (trained, other)]
    assert [each.lists for each in views if each] == [40, 60]


def test_only_the_candidates_of_a_part_count() -> None:
    [found] = scored(system("student", 0.0))
    own = line(View(held_out(), "own", "overall"), found, "ndcg@10")
    assert own is not None
    assert own.pairs == 180


def test_an_unanswered_grade_is_no_nought() -> None:
    [found] = scored(system("student", 0.0))
    skills = line(View(held_out(), ALL, "skills"), found, "kappa")
    assert skills is not None
    assert skills.pairs == 300  # the first candidate of each list has no grade
    assert skills.found.mean == 1


def test_seeds_are_one_system_with_a_figure_each() -> None:
    [found] = scored(*(system("student", 0.3, seed=seed) for seed in range(3)))
    ndcg = line(WHOLE, found, "ndcg@10")
    assert ndcg is not None
    assert len(set(ndcg.by_seed)) == 3
    assert np.isclose(ndcg.found.mean, np.mean(ndcg.by_seed))


def test_probabilities_are_judged_only_where_they_are_stated() -> None:
    stated = system("student", 0.2)
    silent = dataclasses.replace(system("bm25", 0.2), is_calibrated=False)
    lines = set_lines(held_out(), scored(stated, silent))
    by_system = {name: {x.measure for x in lines if x.system == name} for name in ("student", "bm25")}
    assert {"ece", "brier skill", "kappa: skills"} <= by_system["student"]
    assert by_system["bm25"] == {"ndcg@10", "auc top grade"}
    assert [x.measure for x in kappa_lines(held_out(), scored(stated)[0])] == ["kappa: overall", "kappa: skills"]


def test_what_a_student_keeps_of_the_lead() -> None:
    student, teacher, dot = scored(
        system("student", 0.25), system("teacher", 0.1, "teacher"), system("dot", 0.8, "dot")
    )
    kept = kept_lead(WHOLE, student, teacher, dot, "ndcg@10")
    assert kept is not None
    assert kept.line is not None
    assert 0.5 < kept.line.found.mean < 1
    part = share(WHOLE, student, teacher, "ndcg@10")
    assert part is not None
    assert part.found.mean > kept.line.found.mean  # the share hides what the dot product earns


def test_without_a_lead_of_the_teacher_the_kept_share_is_undefined() -> None:
    same = [system("teacher", 0.3, "teacher"), system("dot", 0.3, "dot"), system("student", 0.1)]
    teacher, dot, student = scored(*same)
    kept = kept_lead(WHOLE, student, teacher, dot, "ndcg@10")
    assert kept is not None
    assert kept.line is None
    assert "undefined: the teacher's lead over the dot product is +0.000" in kept.why


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ({"overall": np.zeros(5)}, "student on judged: head 'overall' has (5,) scores for 360 pairs"),
        ({"role": np.zeros(360)}, "there is no head 'overall'; there are: role"),
        ({"overall": np.full(360, np.inf)}, "an infinite score for pair 0"),
        ({"overall": np.full(360, 1.5)}, "head 'overall' states 1.5 to 1.5, outside 0 to 1"),
    ],
)
def test_bad_scores_are_named(scores: HeadScores, sentence: str) -> None:
    bad = System("student", "student", lambda lists: scores, is_calibrated=True)
    with pytest.raises(BadScores) as caught:
        scored(bad)
    assert sentence in str(caught.value)


def test_scores_are_kept_for_the_same_weights_and_lists(tmp_path: Path) -> None:
    calls = []

    def score(lists: list[FieldList]) -> HeadScores:
        calls.append(len(lists))
        return {"overall": np.linspace(0, 1, 360)}

    one = System("student", "student", score, identity="weights")  # type: ignore[arg-type]
    first = score_set(held_out(), [one], tmp_path)
    again = score_set(held_out(), [one], tmp_path)
    assert calls == [60]
    assert all(np.array_equal(a, b) for a, b in zip(first[0].heads["overall"], again[0].heads["overall"], strict=True))
    score_set(held_out(), [dataclasses.replace(one, identity="other weights")], tmp_path)
    other_gains = held_out([each[::-1] for each in GAINS])
    score_set(other_gains, [one], tmp_path)
    assert calls == [60] * 2  # a system sees no gains
    score_set(dataclasses.replace(held_out(), lists=held_out().lists[::-1]), [one], tmp_path)
    assert calls == [60] * 3
