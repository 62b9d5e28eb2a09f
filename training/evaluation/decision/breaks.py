"""The student's worst breaks with the judge's grades: what was judged and why, which rule it broke, and where it stood.

Only sets with `judgements` have breaks: their texts may be shown. Knows no page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from models.template import Fields
from training.data.held_out import HeldOutList, HeldOutSet
from training.evaluation.decision.scoring import Scored
from training.policy.policy import OVERALL, Policy

TOP = 4
SHOWN, ALIKE = 16, 4
"""Breaks of a set that are shown, and how many of them may come from one question."""
WORST = 1.5
"""A smaller gap of overall grades is no break."""
LONGEST = 240
Sides = tuple[Fields, Fields]


@dataclass(frozen=True)
class Answer:
    """One question of a break: the judge's grade and reason, and what the student states on the same scale."""

    question: str
    judged: int | None
    stated: float | None
    reason: str


@dataclass(frozen=True)
class Break:
    """A pair whose stated grade is far from the judge's.

    `question` has the widest gap. `place` is its place in the student's order of the list's `candidates`.
    """

    set: str
    member_id: str
    candidate_id: str
    member: str
    candidate: str
    judged: int
    stated: float
    place: int
    candidates: int
    question: str
    rule: str
    answers: tuple[Answer, ...]

    @property
    def gap(self) -> float:
        return self.stated - self.judged


def broken_rule(policy: Policy, grades: Mapping[str, int | None]) -> str:
    """Why the policy's rule gives these grades their overall grade: the cap that binds, or the weighted mean."""
    overall = policy.overall(grades)
    known = {name: grade for name in policy.dimension_names if (grade := grades.get(name)) is not None}
    binding = [
        cap
        for cap in policy.caps
        if known.get(cap.dimension, TOP + 1) <= cap.grade
        and cap.overall == overall
        and _uncapped(policy, known) > overall
    ]
    if binding:
        cap = binding[0]
        return (
            f"{cap.dimension} is {known[cap.dimension]}: at most {cap.grade} there makes at most {cap.overall} overall"
        )
    given = ", ".join(f"{name} {grade}" for name, grade in known.items())
    return f"the weighted mean of {given} is {overall}; no cap binds"


def _uncapped(policy: Policy, known: Mapping[str, int]) -> int:
    """The overall grade without caps."""
    total = sum(each.weight * known[each.name] for each in policy.dimensions if each.name in known)
    whole = sum(each.weight for each in policy.dimensions if each.name in known)
    return -((whole - 2 * total) // (2 * whole))


def worst_breaks(held_out: HeldOutSet, scored: Scored, policy: Policy) -> list[Break]:
    """The widest gaps first: at most SHOWN of a set, ALIKE of a question, and one of a member."""
    found = sorted(_breaks(held_out, scored, policy), key=lambda each: (-abs(each.gap), each.member_id))
    chosen: list[Break] = []
    members: set[str] = set()
    questions: Counter[str] = Counter()
    for each in found:
        if each.member_id in members or questions[each.question] == ALIKE or len(chosen) == SHOWN:
            continue
        chosen.append(each)
        members.add(each.member_id)
        questions[each.question] += 1
    return chosen


def _breaks(held_out: HeldOutSet, scored: Scored, policy: Policy) -> Iterator[Break]:
    for row, each in enumerate(held_out.lists):
        if not each.judgements or OVERALL not in scored.heads:
            continue
        stated = {head: TOP * values[row].mean(0) for head, values in scored.heads.items()}
        order = np.argsort(np.argsort(-stated[OVERALL], kind="stable"), kind="stable")
        for place in range(len(each.judgements)):
            answers = tuple(_answers(each, place, stated, policy))
            overall = _grade(each, OVERALL, place)
            if overall is None or not abs(stated[OVERALL][place] - overall) >= WORST:  # NaN is no break
                continue
            yield _break(
                held_out.name, each, place, overall, float(stated[OVERALL][place]), int(order[place]), answers, policy
            )


def _break(
    name: str,
    each: HeldOutList,
    place: int,
    judged: int,
    stated: float,
    order: int,
    answers: tuple[Answer, ...],
    policy: Policy,
) -> Break:
    judgement = each.judgements[place]
    known = {a.question: abs(a.stated - a.judged) for a in answers if a.stated is not None and a.judged is not None}
    return Break(
        set=name,
        member_id=judgement.member_id,
        candidate_id=judgement.candidate_id,
        member=_short(each.list.member),
        candidate=_short(each.list.candidates[place]),
        judged=judged,
        stated=stated,
        place=order + 1,
        candidates=len(each.judgements),
        question=max(known, key=lambda question: known[question]) if known else OVERALL,
        rule=broken_rule(policy, {a.question: a.judged for a in answers}),
        answers=answers,
    )


def _answers(each: HeldOutList, place: int, stated: Mapping[str, np.ndarray], policy: Policy) -> Iterator[Answer]:
    for name in policy.dimension_names:
        value = float(stated[name][place]) if name in stated else float("nan")
        reason = each.judgements[place].reasons.get(name, "")
        yield Answer(name, _grade(each, name, place), None if np.isnan(value) else value, reason)


def _grade(each: HeldOutList, head: str, place: int) -> int | None:
    labels = each.list.labels.get(head)
    gain = None if labels is None else labels[place]
    return None if gain is None or np.isnan(gain) else round(TOP * gain)


def _short(fields: Fields) -> str:
    """The first words of a text, field after field."""
    texts = [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in fields.values()]
    text = " · ".join(each for each in texts if each)
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def regrade_rows(breaks: Iterable[Break], sets: Sequence[HeldOutSet], policy: Policy) -> list[dict[str, str]]:
    """The broken pairs as rows that people fill in: ids, whole fields, and an empty cell for each question.

    They hold no grade of the judge or the student, so that people are not led. A row without a grade is no grade.
    """
    found: dict[tuple[str, str], Sides] = {}
    for held_out in sets:
        for each in held_out.lists:
            for place, judgement in enumerate(each.judgements):
                found[judgement.member_id, judgement.candidate_id] = each.list.member, each.list.candidates[place]
    rows = []
    for pair in dict.fromkeys(map(attrgetter("member_id", "candidate_id"), breaks)):
        member, candidate = found[pair]
        sides = {f"member.{name}": value for name, value in member.items()}
        sides |= {f"candidate.{name}": value for name, value in candidate.items()}
        texts = {name: ", ".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in sides.items()}
        blank = dict.fromkeys([*(f"grade.{name}" for name in policy.dimension_names), "rater"], "")
        rows.append({"member_id": pair[0], "candidate_id": pair[1], **texts, **blank})
    order = ("member_id", "candidate_id", "member.", "candidate.", "grade.", "rater")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [
        name for start in order for name in names if name == start or (start[-1] == "." and name.startswith(start))
    ]
    return [{name: row.get(name, "") for name in columns} for row in rows]
