"""The report that decides, as values: sets, lines, gates, targets and one verdict. Knows no file and no page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from training.data.held_out import ALL, HeldOutSet
from training.evaluation.decision.agreement import Agreement, agreements
from training.evaluation.decision.breaks import Break, worst_breaks
from training.evaluation.decision.costs import SystemReport, system_reports
from training.evaluation.decision.gates import Gate, Verdict, at_most, better, not_worse, verdict
from training.evaluation.decision.lines import (
    KAPPA_OF,
    LEAD_SHARE,
    Kept,
    Line,
    View,
    difference,
    kept_lead,
    set_lines,
    share,
)
from training.evaluation.decision.looks import Look
from training.evaluation.decision.scoring import Scored, score_set
from training.evaluation.report import Ablation
from training.evaluation.systems.interface import Kind, System
from training.policy.policy import OVERALL, Policy
from training.recipe import DecisionPlan, Target
from training.tracking.curves import Curve

LEAST = "least dimension"
REQUIREMENTS = "requirements"
TargetState = Literal["goal reached", "met", "missed", "undefined", "not measured"]


@dataclass(frozen=True)
class SetReport:
    """One held-out set and every figure on it; `first` names its leading measure."""

    name: str
    origin: str
    about: str
    digest: str
    lists: int
    clusters: int
    pairs: int
    parts: tuple[str, ...]
    first: str
    dimensions: tuple[str, ...]
    look: Look | None
    lines: tuple[Line, ...]
    differences: tuple[Line, ...]

    def measures_only(self, measure: str) -> bool:
        """Whether this is the set's one measure."""
        return {x.measure for x in self.lines} == {measure}


@dataclass(frozen=True)
class TargetReport:
    """A target beside what was found."""

    target: Target
    found: Line | None
    state: TargetState
    why: str


@dataclass(frozen=True)
class KeptReport:
    """The share of the teacher's lead over a dot product on one set and measure; `why` where it is undefined."""

    set: str
    measure: str
    kept: Kept


@dataclass(frozen=True)
class DecisionReport:
    """All of it. `policy` is its stamp. `notes` say what was not measured, and why."""

    recipe: str
    policy: str
    split: str
    date: str
    commit: str
    machine: str
    command: str
    verdict: Verdict
    gates: tuple[Gate, ...]
    targets: tuple[TargetReport, ...]
    sets: tuple[SetReport, ...]
    kept: tuple[KeptReport, ...]
    agreements: tuple[Agreement, ...]
    breaks: tuple[Break, ...]
    systems: tuple[SystemReport, ...]
    ablation: tuple[Ablation, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class About:
    """The circumstances of a run."""

    recipe: str
    policy: Policy
    split: str
    date: str
    commit: str
    machine: str
    command: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A set with the scores of all systems on it."""

    held_out: HeldOutSet
    scored: list[Scored]

    def of_kind(self, kind: Kind) -> Scored | None:
        return next((each for each in self.scored if each.kind == kind), None)

    def named(self, name: str) -> Scored | None:
        return next((each for each in self.scored if each.name == name), None)


def build(
    plan: DecisionPlan,
    sets: Sequence[HeldOutSet],
    systems: Sequence[System],
    looks: Mapping[str, Look],
    about: About,
    *,
    cache: Path | None = None,
    ablation: Sequence[Ablation] = (),
    curves: Sequence[Curve] = (),
) -> DecisionReport:
    """Score every set with every system, compare, and decide."""
    measured = {each.name: Measured(each, score_set(each, systems, cache)) for each in sets}
    reports = {name: _set_report(each, looks.get(name)) for name, each in measured.items()}
    kept = tuple(_kept(plan.main, measured))
    student = next((each.name for each in systems if each.kind == "student"), "")
    scored = [each for one in measured.values() for each in one.scored]
    main = measured[plan.main].held_out if plan.main in measured else None
    gates = _gates(plan, measured, reports, systems) if student else ()
    return DecisionReport(
        recipe=about.recipe,
        policy=about.policy.stamp,
        split=about.split,
        date=about.date,
        commit=about.commit,
        machine=about.machine,
        command=about.command,
        verdict=verdict(gates, student, about.split),
        gates=gates,
        targets=tuple(_target(each, reports, kept, systems) for each in plan.targets),
        sets=tuple(reports.values()),
        kept=kept,
        agreements=tuple(found for each in measured.values() for found in _agreements(each)),
        breaks=tuple(found for each in measured.values() for found in _breaks(each, about.policy)),
        systems=tuple(system_reports(systems, scored, main, cache)),
        ablation=tuple(ablation),
        curves=tuple(curves),
        notes=about.notes,
    )


def _agreements(measured: Measured) -> list[Agreement]:
    return agreements(measured.held_out, measured.of_kind("student"), measured.of_kind("teacher"))


def _breaks(measured: Measured, policy: Policy) -> list[Break]:
    student = measured.of_kind("student")
    return worst_breaks(measured.held_out, student, policy) if student and student.is_calibrated else []


def _set_report(measured: Measured, look: Look | None) -> SetReport:
    held_out, scored = measured.held_out, measured.scored
    lines = set_lines(held_out, scored)
    lines += _least(lines, KAPPA_OF, of="measure") + _least(lines, "pairs in order", of="part")
    first = held_out.measures[0]
    differences = []
    for one in (each for kind in ("student", "teacher") if (each := measured.of_kind(kind))):
        for part in held_out.parts or (ALL,):
            view = View(held_out, part, OVERALL)
            others = [other for other in scored if other.name != one.name]
            differences += [found for other in others if (found := difference(view, one, other, first))]
            if one.kind == "student" and (teacher := measured.of_kind("teacher")):
                differences += [found] if (found := share(view, one, teacher, first)) else []
    return SetReport(
        name=held_out.name,
        origin=held_out.origin,
        about=held_out.about,
        digest=held_out.digest,
        lists=len(held_out.lists),
        clusters=len({each.cluster for each in held_out.lists}),
        pairs=sum(len(each.list.candidates) for each in held_out.lists),
        parts=held_out.parts or (ALL,),
        first=first,
        dimensions=held_out.graded_dimensions,
        look=look,
        lines=tuple(lines),
        differences=tuple(differences),
    )


def _least(lines: Iterable[Line], measure: str, *, of: Literal["measure", "part"]) -> list[Line]:
    """Of each system, the dimension with the lowest figure: by measure ("kappa: role") or by part of the set."""
    if of == "part":
        chosen = [each for each in lines if each.measure == measure and each.part != ALL]
    else:
        chosen = [each for each in lines if each.measure.startswith(measure) and each.measure != KAPPA_OF + OVERALL]
    lowest = {each.system: each for each in sorted(chosen, key=lambda each: -each.found.mean)}
    if of == "part":
        return [replace(each, part=LEAST) for each in lowest.values()]
    return [replace(each, measure=f"{KAPPA_OF}{LEAST}") for each in lowest.values()]


def _kept(main: str, measured: Mapping[str, Measured]) -> Iterable[KeptReport]:
    for name, measure in ((main, "ndcg@10"), (REQUIREMENTS, "auc top grade")):
        if name not in measured:
            continue
        each = measured[name]
        student, teacher, dot = (each.of_kind(kind) for kind in ("student", "teacher", "dot"))
        if student and teacher and dot:
            found = kept_lead(View(each.held_out, ALL, OVERALL), student, teacher, dot, measure)
            if found:
                yield KeptReport(name, measure, found)


def _gates(
    plan: DecisionPlan, measured: Mapping[str, Measured], reports: Mapping[str, SetReport], systems: Sequence[System]
) -> tuple[Gate, ...]:
    live = next((each.name for each in systems if each.kind == "live"), "")
    student = next(each.name for each in systems if each.kind == "student")

    def minus(name: str, other: str) -> Line | None:
        each = measured.get(name)
        one, two = (each.named(student), each.named(other)) if each else (None, None)
        return difference(View(each.held_out, ALL, OVERALL), one, two, "ndcg@10") if each and one and two else None

    def found(measure: str) -> Line | None:
        lines = reports[plan.calibrated_on].lines if plan.calibrated_on in reports else ()
        return next((x for x in lines if (x.system, x.part, x.measure) == (student, ALL, measure)), None)

    gates = []
    for other in (*([live] if live else []), *plan.above):
        name = f"above {other} on {plan.main}"
        gates.append(better(name, minus(plan.main, other), f"{other} or the set {plan.main!r} is not there"))
    for name in plan.not_worse if live else ():
        missing = f"the sources of the set {name!r} are not there"
        gates.append(not_worse(f"not worse than {live} on {name}", minus(name, live), plan.margin, missing))
    absent = f"the set {plan.calibrated_on!r} is not there"
    gates.append(at_most(f"calibrated on {plan.calibrated_on}", found("ece"), plan.largest_ece, absent))
    gates.append(better(f"Brier skill on {plan.calibrated_on}", found("brier skill"), absent))
    return tuple(gates)


def _target(
    target: Target, reports: Mapping[str, SetReport], kept: Sequence[KeptReport], systems: Sequence[System]
) -> TargetReport:
    for each in kept:
        if each.kept.line is None and (target.set, target.measure) == (each.set, f"{each.measure}, {LEAD_SHARE}"):
            return TargetReport(target, None, "undefined", each.kept.why)
    name = next((each.name for each in systems if each.kind == target.system), "")
    lines = [*(reports[target.set].lines if target.set in reports else ())]
    lines += reports[target.set].differences if target.set in reports else ()
    lines += [each.kept.line for each in kept if each.kept.line]
    wanted = (name, target.set, target.part, target.measure)
    line = next((x for x in lines if (x.system, x.set, x.part, _plain(x.measure, systems)) == wanted), None)
    if line is None:
        why = f"no {target.system} was given" if not name else "its set or a system to compare with is not there"
        return TargetReport(target, None, "not measured", why)
    reached = target.goal is not None and line.found.mean >= target.goal
    state: TargetState = "goal reached" if reached else "met" if line.found.mean >= target.asked else "missed"
    return TargetReport(target, line, state, "")


def _plain(measure: str, systems: Sequence[System]) -> str:
    """The measure's name with kinds in the place of systems' names: `ndcg@10, share of teacher`."""
    start, _, other = measure.rpartition(" of ")
    kind = next((each.kind for each in systems if each.name == other), "")
    return f"{start} of {kind}" if kind and start.endswith("share") else measure
