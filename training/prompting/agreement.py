"""How well the large judge agrees: with people, and with a second run of itself. Knows grades, not texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.held_out import ALL, HeldOutList, HeldOutSet
from training.data.lists import FieldList
from training.evaluation.decision.lines import Line, View, line
from training.evaluation.decision.scoring import Scored
from training.evaluation.systems.interface import Cost
from training.metrics.kappa import Agreement, agreement
from training.policy.policy import OVERALL, Policy
from training.prompting.lists import Grades, HumanJudged, JudgedTwice

JUDGE, SECOND = "large judge", "large judge, second run"
EXACT = 4
"""People tell four labels apart, so the judge's 3 counts as Exact beside its 4."""


@dataclass(frozen=True)
class DimensionAgreement:
    """`null_in_one`: the share of pairs that only one side gave no grade."""

    dimension: str
    found: Agreement
    null_in_one: float


def with_people(human: HumanJudged, policy: Policy) -> tuple[DimensionAgreement, Scored]:
    """Kappa of the judge's overall grade with the label, and the judge as a system on these lists."""
    lists = human.lists.lists
    labels = [round((gain or 0) * 4) for each in lists for gain in each.labels[OVERALL]]
    clusters = [each.list_id for each in lists for _ in each.candidates]
    overall = [policy.overall(grades) for of_list in human.judged for grades in of_list]
    graded = [None if grade is None else EXACT if grade >= EXACT - 1 else grade for grade in overall]
    scores = [np.array([[ranking_score(grades, policy) for grades in of_list]]) for of_list in human.judged]
    return _agreement(OVERALL, graded, labels, clusters), _judge(JUDGE, scores)


def of_two_runs(twice: JudgedTwice, policy: Policy) -> list[DimensionAgreement]:
    """Kappa of two runs by dimension and overall, where both gave a grade."""
    first = [{**grades, OVERALL: policy.overall(grades)} for grades in twice.first]
    second = [{**grades, OVERALL: policy.overall(grades)} for grades in twice.second]
    names = (*policy.dimension_names, OVERALL)
    return [
        _agreement(name, [each.get(name) for each in first], [each.get(name) for each in second], twice.members)
        for name in names
    ]


def second_run_line(twice: JudgedTwice, policy: Policy) -> Line | None:
    """NDCG@10 of the second run's ranking by the first run's grades."""
    held_out, by_member = _as_set(twice, policy), _by_member(twice.members, twice.second)
    seconds = [by_member[one.cluster] for one in held_out.lists]
    scores = [np.array([[ranking_score(grades, policy) for grades in each]]) for each in seconds]
    return line(View(held_out, ALL, OVERALL), _judge(SECOND, scores), "ndcg@10")


def ranking_score(grades: Grades, policy: Policy) -> float:
    """The overall grade / 4; among equal ones the weighted mean decides, which the rule rounds. NaN without grades."""
    overall = policy.overall(grades)
    if overall is None:
        return float("nan")
    known = [(each.weight, grade) for each in policy.dimensions if (grade := grades.get(each.name)) is not None]
    mean = sum(weight * grade for weight, grade in known) / sum(weight for weight, _ in known)
    return (overall + mean / 100) / 4


def _as_set(twice: JudgedTwice, policy: Policy) -> HeldOutSet:
    lists = []
    for member, grades in _by_member(twice.members, twice.first).items():
        gains = {OVERALL: [_gain(policy.overall(each)) for each in grades]}
        one = FieldList(f"judged/{member}", "judged twice", "test", {}, [{} for _ in grades], gains)
        lists.append(HeldOutList(one, member))
    return HeldOutSet("judged twice", "judged by a large model", "Pairs that two runs graded.", tuple(lists), ())


def _by_member(members: Sequence[str], grades: Sequence[Grades]) -> dict[str, list[Grades]]:
    found: dict[str, list[Grades]] = {}
    for member, each in zip(members, grades, strict=True):
        found.setdefault(member, []).append(each)
    return found


def _gain(grade: int | None) -> float:
    return float("nan") if grade is None else grade / 4


def _agreement(
    name: str, first: Sequence[int | None], second: Sequence[int | None], members: Sequence[str]
) -> DimensionAgreement:
    both = [(a, b, m) for a, b, m in zip(first, second, members, strict=True) if a is not None and b is not None]
    one = sum((a is None) != (b is None) for a, b in zip(first, second, strict=True))
    found = agreement([a for a, _, _ in both], [b for _, b, _ in both], [m for _, _, m in both])
    return DimensionAgreement(name, found, one / len(first))


def _judge(name: str, scores: list[np.ndarray]) -> Scored:
    return Scored(name, "judge", 1, True, {OVERALL: scores}, Cost(), None)
