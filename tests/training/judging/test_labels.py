"""The judge labels a pool: drawn over the model's scores, gated by agreement, resumable, and never golden."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.template import FieldFormat, Template
from tests.support.batches import Line, answer_to, answers_for, pair_of, requests_in, written
from tests.support.chat_server import DIMENSIONS, ChatServer, Reply, grade_of
from tests.support.judging import PLENTY, POLICY
from training.__main__ import main
from training.data.tables import DataError
from training.judging.gate import Thresholds, disagreements, gates
from training.judging.golden_samples import golden_pairs, precedents
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades, make_golden, read_golden
from training.judging.label_report import LabelReport
from training.judging.labels import BatchPlan, LabelPlan, NoIndependentOpinion, label_pool
from training.judging.llm_client import Endpoint, EndpointRefused
from training.judging.llm_judge import JudgePlan, JudgeStopped, TextPair
from training.judging.pool import draw, read_pool
from training.policy.prompt import Prompt
from training.policy.stamps import section_stamps
from training.sources.grade_files import read_human_grades

TEMPLATE = Template(member=(FieldFormat(name="headline"),), candidate=(FieldFormat(name="title"),))
POOL = [TextPair(f"m{n % 17}", f"j{n}", "x" * (n % 17 + 1), "y" * (n % 7 + 1)) for n in range(60)]
ENDPOINT = Endpoint("http://x/v1", "small", dollars_in=1.0, dollars_out=2.0)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")


def golden(folder: Path, *, off: int = 0, dimensions: Sequence[str] = ("role",)) -> pl.DataFrame:
    """People's grades of 300 pairs, as the judge gives them but for `off`."""
    folder.mkdir()
    pairs = [
        GradedPair(f"g{n}", f"j{n % 4}", {"headline": "x" * (n % 23 + 1)}, {"title": "y" * (n % 4 + 1)})
        for n in range(300)
    ]
    grades = []
    for pair in pairs:
        texts = TEMPLATE.render_member(pair.member), TEMPLATE.render_candidate(pair.candidate)
        given = [(d, (grade_of(*texts, d) + off) % 5) for d in dimensions]
        grades += [HumanGrade(pair.member_id, pair.candidate_id, d, "ann", grade) for d, grade in given]
    make_golden(HumanGrades("t", pairs, grades, ("ann",), "Made up."), POLICY, TEMPLATE, folder)
    return read_golden(folder / "golden.parquet", POLICY)


def plan(folder: Path, answers: Sequence[Path] = (), **changes: Any) -> LabelPlan:
    """By batch files, with a second opinion of the same model."""
    usual = LabelPlan(
        judge=JudgePlan(ENDPOINT, budget=PLENTY),
        second=ENDPOINT,
        pairs=40,
        second_pairs=40,
        batch=BatchPlan(folder / "batches", answers),
    )
    return replace(usual, **changes)


def run(folder: Path, wanted: LabelPlan, gold: pl.DataFrame | None, scores: np.ndarray | None = None) -> LabelReport:
    return label_pool(POLICY, POOL, scores, gold, wanted, folder / "judge.sqlite", folder / "labels")


def labelled(
    folder: Path, gold: pl.DataFrame | None, *, again: Callable[[Line], Line] = answer_to, **changes: Any
) -> LabelReport:
    """A run that writes batches, their answers, and the run that reads them. `again` bends the second opinion."""
    assert run(folder, plan(folder, **changes), gold).waiting
    outs = [answers_for(path, folder / f"out-{path.name}", again) for path in written(folder / "batches")]
    return run(folder, plan(folder, outs, **changes), gold)


def is_second(request: Line) -> bool:
    """The second opinion reads the dimensions in turned order."""
    system: str = request["body"]["messages"][0]["content"]
    return system.index("# seniority") < system.index("# role")


class TestPool:
    def table(self, **columns: object) -> pl.DataFrame:
        plain = {"member_id": ["a", "b"], "candidate_id": ["j", "j"], "member": ["x", "y"], "candidate": ["p", "q"]}
        return pl.DataFrame({**plain, **columns})

    def test_texts_and_fields_are_both_read(self, tmp_path: Path) -> None:
        self.table().write_parquet(tmp_path / "texts.parquet")
        fields = self.table().rename({"member": "member.headline", "candidate": "candidate.title"})
        fields.write_parquet(tmp_path / "fields.parquet")
        assert read_pool(tmp_path / "texts.parquet", TEMPLATE) == read_pool(tmp_path / "fields.parquet", TEMPLATE)

    @pytest.mark.parametrize(
        ("columns", "sentence"),
        [
            ({"member_id": ["a", None]}, "row 1, column 'member_id': empty"),
            ({"candidate_id": ["", "j"]}, "row 0, column 'candidate_id': empty"),
            ({"member": ["x", " "]}, "row 1, column 'member': empty"),
            ({"candidate": [None, "q"]}, "row 0, column 'candidate': empty"),
            ({"candidate": [1, 2]}, "column 'candidate' holds Int64, not texts"),
            ({"member_id": ["a", "a"]}, "row 1, column 'candidate_id': the pair appears twice"),
        ],
    )
    def test_a_row_that_cannot_be_used_is_named(
        self, tmp_path: Path, columns: dict[str, object], sentence: str
    ) -> None:
        path = tmp_path / "pool.parquet"
        self.table(**columns).write_parquet(path)
        with pytest.raises(DataError) as caught:
            read_pool(path, TEMPLATE)
        assert str(caught.value).startswith(f"{path}: {sentence}")

    def test_a_missing_side_and_a_file_that_is_no_table_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "pool.parquet"
        self.table().drop("member").write_parquet(path)
        with pytest.raises(DataError, match=r"column 'member' is missing, and so are columns `member\.FIELD`"):
            read_pool(path, TEMPLATE)
        path.write_bytes(b"PAR1 not really")
        with pytest.raises(DataError, match="not a readable Parquet file"):
            read_pool(path, TEMPLATE)

    def test_pairs_are_drawn_evenly_over_the_scores(self) -> None:
        scores = np.array([0.05] * 50 + [0.3] * 5 + [0.95] * 5)
        drawn = draw(POOL, scores, 30)
        assert drawn.in_pool == [50, 5, 0, 0, 5]
        assert drawn.drawn == [20, 5, 0, 0, 5]
        assert len(drawn.pairs) == len(set(drawn.pairs)) == 30
        assert set(draw(POOL, scores, 12).pairs) < set(drawn.pairs)
        assert draw(POOL, scores, 100).drawn == [50, 5, 0, 0, 5]
        assert draw(POOL, None, 12).in_pool == [60]


class TestGate:
    def table(self, dimension: str, grades: Sequence[int | None], off: int = 0) -> pl.DataFrame:
        rows = [(f"m{n}", "j", dimension, None if g is None else (g + off) % 5) for n, g in enumerate(grades)]
        columns = ["member_id", "candidate_id", "dimension", "grade"]
        return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.lit("why").alias("reason"))

    def gate_of(self, own: pl.DataFrame, gold: pl.DataFrame, second: pl.DataFrame) -> tuple[str, bool]:
        (found, *_) = gates(POLICY, own, gold, second, Thresholds())
        assert found.dimension == "role"
        return found.by, found.passed

    def test_people_decide_where_they_graded_and_else_the_second_opinion(self) -> None:
        own = self.table("role", [0, 1, 2, 3, 4] * 20)
        turned, none = self.table("role", [4, 3, 2, 1, 0] * 20), own.clear()
        assert self.gate_of(own, own, turned) == ("people", True)
        assert self.gate_of(own, turned, own) == ("people", False)
        assert self.gate_of(own, none, own) == ("a second opinion (one model family)", True)
        assert self.gate_of(own, none, turned) == ("a second opinion (one model family)", False)
        assert self.gate_of(own, none, none) == ("nothing", False)

    def test_a_second_opinion_is_held_to_more_than_people(self) -> None:
        own = self.table("role", [0, 1, 2, 3, 4] * 40)
        near = self.table("role", [0, 1, 2, 1, 4, 2, 1, 2, 3, 4] * 20)  # kappa between the thresholds
        assert self.gate_of(own, near, own.clear()) == ("people", True)
        assert self.gate_of(own, own.clear(), near) == ("a second opinion (one model family)", False)

    def test_few_pairs_do_not_pass_by_luck(self) -> None:
        own, near = self.table("role", [0, 2, 3, 4, 1]), self.table("role", [1, 2, 3, 4, 0])
        (found, *_) = gates(POLICY, own, near, own.clear(), Thresholds())
        assert found.found is not None
        assert found.found.kappa.mean > 0.4 > found.found.kappa.low
        assert not found.passed

    def test_disagreements_come_with_both_reasons_the_widest_first(self) -> None:
        own, gold = self.table("role", [0, 1, 4, None]), self.table("role", [4, 1, 3, 2])
        found = disagreements(own, {"people": gold})
        assert found.select("member_id", "gap", "judge_grade", "other_grade").rows() == [
            ("m0", 4, 0, 4),
            ("m2", 1, 4, 3),
        ]
        assert set(found["other_reason"]) == {"why"}


def test_gold_opens_its_dimension_and_the_second_opinion_the_others(tmp_path: Path) -> None:
    report = labelled(tmp_path, golden(tmp_path / "golden"))
    by = {each.dimension: (each.by, each.passed) for each in report.gates}
    second = "a second opinion (one model family)"
    assert by == {"role": ("people", True)} | {name: (second, True) for name in ("skills", "seniority", "overall")}
    grades = pl.read_parquet(tmp_path / "labels/grades.parquet")
    assert Counter(grades["dimension"]) == {name: 40 for name in (*DIMENSIONS, "overall")}
    assert dict(grades.select("dimension", "policy").iter_rows()) == section_stamps(POLICY)
    assert not pl.read_parquet(tmp_path / "labels/held_back.parquet").height
    texts = {(p.member_id, p.candidate_id): (p.member, p.candidate) for p in POOL}
    rows = grades.filter(pl.col("dimension") != "overall").select("member_id", "candidate_id", "dimension", "grade")
    for member_id, candidate_id, dimension, grade in rows.iter_rows():
        assert grade == grade_of(*texts[member_id, candidate_id], dimension)


def test_a_dimension_that_people_grade_otherwise_is_held_back(tmp_path: Path) -> None:
    report = labelled(tmp_path, golden(tmp_path / "golden", off=2))
    assert [each.dimension for each in report.gates if not each.passed] == ["role"]
    assert "role" not in set(pl.read_parquet(tmp_path / "labels/grades.parquet")["dimension"])
    assert set(pl.read_parquet(tmp_path / "labels/held_back.parquet")["dimension"]) == {"role"}
    listed = pl.read_csv(tmp_path / "labels/disagreements.csv")
    assert set(listed["other"]) == {"people"}
    assert listed["gap"].is_sorted(descending=True)
    assert set(listed["judge_reason"]) == {"by its role"}
    assert "| role | people |" in (tmp_path / "labels/report.md").read_text()


def test_a_second_opinion_that_differs_holds_its_dimensions_back(tmp_path: Path) -> None:
    def other(request: Line) -> Line:
        if not is_second(request):
            return answer_to(request)
        pair = pair_of(request)
        turned = 4 - grade_of(pair["member"], pair["candidate"], "skills")
        return answer_to(request, skills={"reason": "turned", "grade": turned})

    report = labelled(tmp_path, None, again=other)
    assert {each.dimension for each in report.gates if each.passed} == {"role", "seniority"}
    listed = pl.read_csv(tmp_path / "labels/disagreements.csv").filter(pl.col("dimension") == "skills")
    assert set(listed["other_reason"]) == {"turned"}


def test_without_gold_and_second_opinion_nothing_is_used(tmp_path: Path) -> None:
    report = labelled(tmp_path, None, second=None)
    assert {each.by for each in report.gates} == {"nothing"}
    assert not pl.read_parquet(tmp_path / "labels/grades.parquet").height
    assert pl.read_parquet(tmp_path / "labels/held_back.parquet").height == 160


def test_the_gate_reads_validation_pairs_and_precedents_are_training_grades(tmp_path: Path) -> None:
    gold = golden(tmp_path / "golden")
    split = dict(gold.select("member_id", "split").iter_rows())
    assert {split[pair.member_id] for pair in golden_pairs(gold, 300)} == {"valid"}
    shown = precedents(gold, 7)
    assert sorted(each.grade for each in shown) == [0, 0, 1, 1, 2, 3, 4]
    train = {tuple(row) for row in gold.filter(pl.col("split") == "train").select("member", "candidate").iter_rows()}
    assert {(each.member, each.candidate) for each in shown} <= train
    others = gold.filter(pl.col("split") != "train")
    assert precedents(others, 7) == []
    system = Prompt.of(POLICY, shown).system
    assert system.count(json.dumps(shown[0].member)) >= 1
    assert "# Precedents" in system
    assert "# Precedents" not in Prompt.of(POLICY).system


def test_no_request_is_written_twice_and_labels_need_no_file_once_answers_are_kept(tmp_path: Path) -> None:
    gold = golden(tmp_path / "golden")
    report = labelled(tmp_path, gold)
    files = list(written(tmp_path / "batches"))
    assert run(tmp_path, plan(tmp_path), gold).gates == report.gates
    assert list(written(tmp_path / "batches")) == files
    ids = [line["custom_id"] for path in files for line in requests_in(path)]
    assert len(set(ids)) == len(ids)
    assert report.spent.tokens == 960 * len(ids)


def test_scores_of_the_present_model_decide_what_is_drawn(tmp_path: Path) -> None:
    scores = np.linspace(0, 0.999, len(POOL))
    report = run(tmp_path, plan(tmp_path, pairs=10), None, scores)
    assert report.drawn == [2, 2, 2, 2, 2]


def test_pairs_of_the_same_texts_are_paid_for_once(tmp_path: Path) -> None:
    same = [TextPair(f"m{n}", "j", "x" * 5, "y") for n in range(8)]
    with ChatServer() as server:
        endpoint = Endpoint(server.url, "small", requests_per_second=1000)
        wanted = plan(tmp_path, judge=JudgePlan(endpoint), second=None, batch=None)
        report = label_pool(POLICY, same, None, None, wanted, tmp_path / "j.sqlite", tmp_path / "labels")
        assert report.pairs == {"graded": 8}
        assert len(server.asked) == 1
    label_pool(POLICY, same, None, None, plan(tmp_path, second=None), tmp_path / "k.sqlite", tmp_path / "labels")
    (path,) = written(tmp_path / "batches")
    assert len(requests_in(path)) == 1


def test_an_endpoint_labels_the_same_pool(tmp_path: Path) -> None:
    with ChatServer() as server:
        endpoint = Endpoint(server.url, "small", requests_per_second=1000)
        wanted = plan(tmp_path, judge=JudgePlan(endpoint), second=replace(endpoint, model="large"), batch=None)
        report = run(tmp_path, wanted, None)
        assert report.pairs == {"graded": 40}
        assert all(each.passed for each in report.gates)
        before = len(server.asked)
        run(tmp_path, wanted, None)
        assert len(server.asked) == before == 80


def test_an_endpoint_that_fails_stops_with_a_count(tmp_path: Path) -> None:
    with ChatServer(lambda _: Reply(500, b"", (("retry-after-ms", "1"),))) as server:
        endpoint = Endpoint(server.url, "small", requests_per_second=1000, retries=0)
        wanted = plan(tmp_path, judge=JudgePlan(endpoint), second=None, batch=None, pairs=5)
        with pytest.raises(JudgeStopped, match="no answer for 5 of 5 pairs"):
            run(tmp_path, wanted, None)


def test_the_same_question_twice_is_no_second_opinion(tmp_path: Path) -> None:
    one = replace(POLICY, dimensions=POLICY.dimensions[:1])
    with pytest.raises(NoIndependentOpinion, match="--second-model"):
        label_pool(one, POOL, None, None, plan(tmp_path), tmp_path / "j.sqlite", tmp_path / "labels")


def test_a_plan_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EndpointRefused, match="--judge-model"):
        run(tmp_path, plan(tmp_path, judge=JudgePlan()), None)


def test_labels_cannot_become_golden_grades(tmp_path: Path) -> None:
    labelled(tmp_path, golden(tmp_path / "golden"))
    folder = tmp_path / "labels"
    forged = pl.read_parquet(folder / "grades.parquet").with_columns(pl.lit("ann").alias("rater"))
    forged.write_parquet(folder / "grades.parquet")
    with pytest.raises(DataError, match=r"grades\.parquet: column 'model': grades of a model are no golden grades"):
        read_human_grades(folder, authority=("ann",), about="Forged.")


def test_the_command_writes_batches_reads_answers_and_prints_the_gates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "pool.parquet"
    rows = [(p.member_id, p.candidate_id, p.member, p.candidate) for p in POOL]
    pl.DataFrame(rows, schema=["member_id", "candidate_id", "member", "candidate"], orient="row").write_parquet(pool)
    command = ["judge", "demo", "--runs", str(tmp_path / "runs"), "--pool", str(pool), "--judge-model", "small"]
    command += [
        "--judge-prices",
        "1",
        "2",
        "--second-model",
        "small",
        "--pool-pairs",
        "30",
        "--second-pairs",
        "30",
        "--batch",
    ]
    assert main(command) == 0
    assert "No labels yet: batch-00001.jsonl wait" in capsys.readouterr().out
    (path,) = written(tmp_path / "runs/demo/shared/batches")
    assert len(requests_in(path)) == 60
    out = answers_for(path, tmp_path / "out.jsonl")
    assert main([*command, "--batch-in", str(out)]) == 0
    said = capsys.readouterr().out
    assert "| role | a second opinion (one model family) | 30 |" in said
    assert f"Spent so far: {60 * 960} tokens, 0.03 dollars." in said  # half of the endpoint's price
    assert pl.read_parquet(tmp_path / "runs/demo/labels/pool/grades.parquet").height == 120


def test_the_command_prints_a_sentence_for_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = tmp_path / "pool.parquet"
    pool.write_bytes(b"nothing")
    command = ["judge", "demo", "--runs", str(tmp_path), "--pool", str(pool), "--judge-model", "small", "--batch"]
    assert main(command) == 1
    assert capsys.readouterr().err.startswith(f"judge demo: {pool}: not a readable Parquet file")


@pytest.mark.parametrize(
    "words", ["golden demo --pool x", "judge demo --pool x", "judge demo --pool x --judge-model m"]
)
def test_a_pool_without_what_it_needs_is_refused(words: str) -> None:
    with pytest.raises(SystemExit):
        main(words.split())
