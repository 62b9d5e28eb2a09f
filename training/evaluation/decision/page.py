"""The report that decides as one self-contained HTML page: a product manager reads its first screen, and knows.

Lays out; computes nothing. It holds no text of a member or a candidate.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.data.held_out import ALL
from training.evaluation import plots
from training.evaluation.decision.report import DecisionReport, SetReport
from training.evaluation.decision.sections import RATIO_NOTE, sections

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
        headline=HEADLINES[report.verdict.ships],
        sections=sections(report),
        plots=_plots(report),
        legend=RATIO_NOTE,
    )


def _plots(report: DecisionReport) -> dict[str, Markup]:
    """Each set's leading figure by system, by the section's anchor. Axes of all sets are the same."""
    found = {f"set-{each.name.replace(' ', '-')}": _set_plot(each) for each in report.sets}
    # Markup: our own SVG, whose texts the plotting library has escaped
    return {anchor: Markup(svg) for anchor, svg in found.items() if svg}


def _set_plot(each: SetReport) -> str:
    rows = {x.system: x.found for x in each.lines if x.part == ALL and x.measure == each.first}
    if not rows:
        return ""
    return plots.interval_plot(rows, f"{each.first} on {each.name}", emphasised="student", limits=(0.0, 1.0))
