"""The report as sections of tables: what the page and the Markdown both show, in the order that people read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.data.held_out import ALL
from training.evaluation.decision.costs import Latency
from training.evaluation.decision.lines import GAP, KAPPA_OF, Line
from training.evaluation.decision.report import LEAST, DecisionReport, SetReport, TargetReport
from training.evaluation.decision.tables import (
    DASH,
    REGRADE,
    Table,
    ablation_table,
    break_table,
    grade_tables,
    number,
    signed,
)
from training.evaluation.report import Ablation
from training.policy.policy import OVERALL
from training.tracking.curves import Curve

FEW = 20
"""Fewer clusters than this: the interval itself is uncertain."""
RATIO_NOTE = (
    "NDCG@10 and the orders of pairs go from 0 to 1, and 1 is perfect. Poor matches @10: the share of the first ten "
    "with grade 0 or 1, where less is better. Brier skill: 0 is stating the base rate, 1 is perfect. ECE: the mean gap "
    "of stated and found, 0 is perfect. Brackets hold the 95 % interval over clusters and seeds."
)


@dataclass(frozen=True)
class Section:
    """`anchor` is its id on the page."""

    anchor: str
    title: str
    note: str
    tables: tuple[Table, ...]


def sections(report: DecisionReport) -> list[Section]:
    """In the order that people read them: grades and breaks, figures asked for, sets, costs, ablation."""
    found = [
        Section("grades", "Question by question, grade by grade", GRADES_NOTE, tuple(grade_tables(report.agreements))),
        Section("breaks", "The worst breaks of the policy", BREAKS_NOTE, tuple(map(break_table, report.breaks))),
        Section("asked", "What was asked, and what was found", _asked_note(), (targets_table(report.targets),)),
        Section("glance", "All held-out sets side by side", _glance_note(), (glance_table(report),)),
        Section("kept", "What the student keeps of its teacher", KEPT_NOTE, tuple(kept_tables(report))),
        Section("dimensions", "Question by question", DIMENSIONS_NOTE, tuple(dimension_tables(report))),
    ]
    for each in report.sets:
        found.append(Section(f"set-{each.name.replace(' ', '-')}", each.name, set_note(each), tuple(set_tables(each))))
    found.append(Section("cost", "Cost", COST_NOTE, (cost_table(report),)))
    if report.curves:
        found.append(Section("curves", "Learning curves", CURVES_NOTE, (curve_table(report.curves),)))
    table = (ablation_table(report.ablation),) if report.ablation else ()
    found.append(Section("ablation", "Ablation: which levers move something", ablation_note(report.ablation), table))
    return [each for each in found if each.tables or each.anchor == "ablation"]


GRADES_NOTE = (
    "What the student states, on average, for pairs of each grade. The better it reads a question, the nearer each "
    "figure is to its column. Two apart: the share of pairs that it puts two grades or more from the judge's grade."
)
BREAKS_NOTE = (
    f"Pairs of judged sets that the student grades far from the judge: the widest gaps, one of a member. {REGRADE} has "
    "the same pairs with empty grades. Where a person disagrees with the judge, fill in the grades; step golden reads "
    "that file. Where the person agrees, the student is wrong, or the policy says too little."
)


KEPT_NOTE = (
    "Share of the teacher's NDCG@10 looks high by construction, because a random order earns much of it. The share of "
    "the teacher's lead over a dot product, (student - dot) / (teacher - dot), counts what the dot product cannot do. "
    "Where the teacher's lead is not above zero, it is undefined."
)
DIMENSIONS_NOTE = (
    "Quadratic kappa is agreement of grades beyond chance: 0 is chance, 1 is full agreement; rows are the questions of "
    "the policy. The judge's second run is the ceiling. A minimal pair is two jobs that differ in one question; chance "
    "is 50 %."
)
COST_NOTE = (
    "Pairs per second are those of this run, with every text read from scratch; serving keeps encoded candidates and "
    "is faster. Milliseconds are of one list after another, the middle one and the slowest. Dollars are by the prices "
    "that were given."
)


CURVES_NOTE = (
    "The loss of each training by step; in the second colour its measure on validation lists, where it has one."
)


def curve_table(curves: Sequence[Curve]) -> Table:
    rows = []
    for each in curves:
        first, last = each.losses[0][1], each.losses[-1][1]
        best = max((value for _, value in each.valid), default=None)
        rows.append(
            (each.name, f"{each.steps:,}", f"{first:.3f}", f"{last:.3f}", DASH if best is None else f"{best:.3f}")
        )
    return Table("", "", ("training", "steps", "first loss", "last loss", "best validation"), tuple(rows))


def targets_table(targets: Sequence[TargetReport]) -> Table:
    rows = [
        (
            each.target.title,
            number(each.found.found) if each.found else each.why,
            f"{each.target.asked:g}",
            DASH if each.target.goal is None else f"{each.target.goal:g}",
            each.state,
            count(each.found),
        )
        for each in targets
    ]
    return Table("", "", ("figure", "found", "asked", "goal", "", "measured on"), tuple(rows))


def glance_table(report: DecisionReport) -> Table:
    """A row per set and a column per system: the set's leading measure."""
    names = [each.name for each in report.systems]
    rows = []
    for each in report.sets:
        found = {x.system: x for x in each.lines if x.part == ALL and x.measure == each.first}
        cells = [f"{found[name].found.mean:.3f}" if name in found else DASH for name in names]
        rows.append((each.name, each.origin, f"{each.first}", f"{each.lists:,} / {each.clusters:,}", *cells))
    header = ("set", "gains are", "figure", "lists / clusters", *names)
    return Table("", "", header, tuple(rows))


def kept_tables(report: DecisionReport) -> Iterable[Table]:
    rows = []
    for each in report.sets:
        for x in each.differences:
            if "share of" in x.measure:
                rows.append((each.name, x.part, x.measure, number(x.found), count(x)))
    for one in report.kept:
        lead = one.kept.lead
        rows.append((one.set, ALL, f"{one.measure}: teacher minus dot product", signed(lead.found), count(lead)))
        kept = one.kept.line
        title = f"{one.measure}: share of that lead that the student keeps"
        rows.append((one.set, ALL, title, number(kept.found) if kept else one.kept.why, count(kept)))
    if rows:
        yield Table("", "", ("set", "part", "figure", "found", "measured on"), tuple(rows))


def dimension_tables(report: DecisionReport) -> Iterable[Table]:
    for each in report.sets:
        names = (OVERALL, *each.dimensions, LEAST) if each.dimensions else ()
        by_measure = {(x.system, x.measure): x for x in each.lines if x.part == ALL}
        systems = list(dict.fromkeys(x.system for x in each.lines if x.measure.startswith(KAPPA_OF)))
        if names and systems:
            title = f"Kappa with the grades of {each.name} ({each.lists} lists, {each.clusters} clusters)"
            rows = [(name, *(_cell(by_measure.get((s, KAPPA_OF + name))) for s in systems)) for name in names]
            yield Table(title, "", ("question", *systems), tuple(rows))
        parts = [part for part in (*each.parts, LEAST) if any(x.part == part for x in each.lines)]
        if each.measures_only("pairs in order"):
            systems = list(dict.fromkeys(x.system for x in each.lines))
            by_part = {(x.system, x.part): x for x in each.lines if x.measure == "pairs in order"}
            rows = [(part, *(_cell(by_part.get((s, part))) for s in systems)) for part in parts]
            yield Table(f"{each.name.capitalize()} in order", "", ("question", *systems), tuple(rows))


def _cell(line: Line | None) -> str:
    return number(line.found) if line else DASH


def set_note(each: SetReport) -> str:
    """What the set is, its size, and how often it was looked at."""
    looks = ""
    if each.look:
        looks = f" Look number {each.look.number} at this test"
        looks += f"; {each.look.in_another_form} looks at an earlier form of it." if each.look.in_another_form else "."
    few = " So few clusters make intervals uncertain." if each.clusters < FEW else ""
    size = f"{each.lists:,} lists, {each.clusters:,} clusters, {each.pairs:,} pairs."
    return f"{each.about} Gains are {each.origin}. {size}{looks}{few}"


def set_tables(each: SetReport) -> Iterable[Table]:
    """For each part: systems by measure, with the lists that each was measured on; then differences."""
    if each.measures_only("pairs in order"):
        return
    for part in each.parts:
        lines = [x for x in each.lines if x.part == part and not x.measure.startswith(KAPPA_OF)]
        names = list(dict.fromkeys(x.measure for x in lines))
        found = {(x.system, x.measure): x for x in lines}
        systems = list(dict.fromkeys(x.system for x in lines))
        rows = []
        for system in systems:
            most = max((x for x in lines if x.system == system), key=lambda x: x.lists)
            cells = [_with_seeds(found.get((system, name))) for name in names]
            rows.append((system, f"{most.lists:,} / {most.clusters:,}", *cells))
        marked = frozenset(row for row, name in enumerate(systems) if name == "student")
        title = part if part != ALL else "all candidates"
        yield Table(title, "", ("system", "lists / clusters", *names), tuple(rows), marked)
    minus = [x for x in each.differences if GAP in x.measure and x.part == ALL]
    if minus:
        rows = [(f"{x.system} {x.measure.split(', ')[1]}", signed(x.found), count(x)) for x in minus]
        yield Table(f"Differences in {each.first}", "Paired: both systems on the same lists.",
                    ("difference", "found", "measured on"), tuple(rows))  # fmt: skip


def _with_seeds(line: Line | None) -> str:
    if line is None:
        return DASH
    seeds = f"; seeds {', '.join(f'{each:.3f}' for each in line.by_seed)}" if line.by_seed else ""
    return number(line.found) + seeds


def cost_table(report: DecisionReport) -> Table:
    rows = []
    for each in report.systems:
        cost = each.cost
        rows.append(
            (
                each.name,
                each.kind,
                f"{each.seeds}",
                DASH if each.pairs_per_second is None else f"{each.pairs_per_second:,.0f}",
                DASH if each.latency is None else _milliseconds(each.latency),
                DASH if cost.bytes_per_candidate is None else f"{cost.bytes_per_candidate:,}",
                DASH if cost.tokens_per_pair is None else f"{cost.tokens_per_pair:,.0f}",
                DASH if cost.dollars_per_million_pairs is None else f"{cost.dollars_per_million_pairs:,.2f}",
            )
        )
    header = (
        "system",
        "kind",
        "seeds",
        "pairs/s",
        "ms a list",
        "bytes a candidate",
        "tokens a pair",
        "dollars a million pairs",
    )
    return Table("", "", header, tuple(rows))


def _milliseconds(found: Latency) -> str:
    return f"{found.middle:,.0f}, at worst {found.worst:,.0f} ({found.lists} lists of {found.candidates})"


def ablation_note(ablation: Sequence[Ablation]) -> str:
    """Says plainly which levers move a figure, and which do not."""
    if not ablation:
        return "No ablation was run for this student, so nothing is known of what each lever is worth."
    moves: list[str] = []
    rest: list[str] = []
    for each in ablation:
        moved = {name: x for name, x in each.minus_whole.items() if x.low > 0 or x.high < 0}
        words = ", ".join(f"{name} {signed(x)}" for name, x in moved.items())
        (moves if moved else rest).append(f"{each.without} ({words})" if moved else each.without)
    first = f"Without these the student changes: {'; '.join(moves)}." if moves else "No lever moves any figure."
    return first + (f" These move nothing that this sample can show: {', '.join(rest)}." if rest else "")


def _asked_note() -> str:
    return "Found: the mean over lists with its 95 % interval. Met: the mean reaches what was asked."


def _glance_note() -> str:
    return "Leading figure of each set; higher is better. Chance differs from set to set, so compare within a row."


def count(line: Line | None) -> str:
    return f"{line.lists:,} lists, {line.clusters:,} clusters" if line else DASH
