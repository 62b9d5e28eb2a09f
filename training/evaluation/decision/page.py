"""The report that decides as Markdown, and as one HTML page: a product manager reads its first screen, and knows.

Lays out; computes nothing. It holds texts of members and candidates of judged sets only, in their breaks.
"""

from __future__ import annotations

from itertools import repeat
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.data.held_out import ALL
from training.evaluation import plots
from training.evaluation.decision.report import DecisionReport, SetReport
from training.evaluation.decision.sections import RATIO_NOTE, Section, sections
from training.evaluation.decision.tables import REGRADE, in_short
from training.policy.markdown import table

CURVES = 8
"""Curves that the page draws; its table has all."""
UNDECIDED = "Not decided: these are validation lists"
HEADLINES = {True: "Ships", False: "Does not ship", None: "Nothing to decide"}


def decision_html(report: DecisionReport) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        headline=UNDECIDED if report.gates and report.verdict.ships is None else HEADLINES[report.verdict.ships],
        sections=sections(report),
        plots=_plots(report),
        legend=RATIO_NOTE,
        in_short=in_short(report),
        regrade=REGRADE,
    )


def _plots(report: DecisionReport) -> dict[str, Markup]:
    """By the section's anchor: agreement with the judge, curves, and each set's leading figure on one scale."""
    found = {f"set-{each.name.replace(' ', '-')}": _set_plot(each) for each in report.sets}
    found["grades"] = "".join(map(_grades_plot, dict.fromkeys(each.set for each in report.agreements), repeat(report)))
    found["curves"] = "".join(plots.curve_plot(each.losses, each.valid) for each in report.curves[:CURVES])
    # Markup: our own SVG, whose texts the plotting library has escaped
    return {anchor: Markup(svg) for anchor, svg in found.items() if svg}


def _grades_plot(name: str, report: DecisionReport) -> str:
    """The student beside the grades of one set."""
    own = [each for each in report.agreements if (each.set, each.judge, each.system) == (name, "grades", "student")]
    return plots.grades_plot({each.question: each.counts for each in own}) if own else ""


def _set_plot(each: SetReport) -> str:
    rows = {x.system: x.found for x in each.lines if x.part == ALL and x.measure == each.first}
    if not rows:
        return ""
    return plots.interval_plot(rows, f"{each.first} on {each.name}", emphasised="student", limits=(0.0, 1.0))


def decision_markdown(report: DecisionReport) -> str:
    """Verdict and gates first, then every section."""
    parts = [
        f"# {report.recipe}: {report.split} split, {report.date}\n",
        f"**{report.verdict.sentence}**\n",
        f"Policy {report.policy}.\n",
        f"`{report.command}` at commit {report.commit[:12]}; {report.machine}.\n",
    ]
    parts += [f"- {sentence}" for sentence in in_short(report)] + [""]
    if report.gates:
        rows = [[gate.name, gate.state, gate.sentence] for gate in report.gates]
        parts += ["## Gates\n", table(["gate", "", "found"], rows)]
    parts += [f"- {note}" for note in report.notes] + [""]
    for section in sections(report):
        parts += _section(section)
    return "\n".join(parts)


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}\n", section.note + "\n"]
    for each in section.tables:
        parts += [f"### {each.title}\n"] if each.title else []
        parts += [line + "\n" for line in each.note.splitlines()]
        parts.append(table(list(each.header), [list(row) for row in each.rows]))
    return parts
