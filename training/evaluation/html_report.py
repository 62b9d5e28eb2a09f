"""The evaluation report as one self-contained HTML page for product managers and engineers; it loads nothing.

Lays out what `report.json` holds, with plots, and the pairs that break the policy worst. Texts are escaped: they come
from members and candidates. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.evaluation import plots
from training.evaluation.fairness import FOUR_FIFTHS
from training.evaluation.markdown_report import UNMEASURED, interval, signed
from training.evaluation.worst_errors import Break

NAMES = {"ndcg@10": "NDCG@10", "mrr": "MRR", "auc": "AUC", "kappa": "quadratic kappa with gold"}


def html(title: str, report: Mapping[str, Any], breaks: Mapping[str, Sequence[Break]]) -> str:
    """The page; `breaks` holds pairs by what is wrong with them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"interval": interval, "signed": signed, "percent": _percent}
    page = environment.get_template("html_report.html.j2")
    return page.render(
        title=title,
        report=report,
        names=NAMES,
        breaks=breaks,
        unmeasured=UNMEASURED,
        four_fifths=FOUR_FIFTHS,
        plots=_plots(report),
    )


def _plots(report: Mapping[str, Any]) -> dict[str, Any]:
    """Plots by the place they stand at: (head, source), a kind of slice, a swap, `frontier` or `shares`."""
    shipped = report["shipped"]
    found: dict[Any, str] = {}
    for head, head_report in report["heads"].items():
        for source, rows in head_report["sources"].items():
            ndcg = {name: row["ndcg@10"] for name, row in rows["systems"].items()}
            found[head, source, "systems"] = plots.interval_plot(ndcg, "NDCG@10", emphasised=shipped)
            if rows["student_minus"]:
                lead = {f"minus {name}": row for name, row in rows["student_minus"].items()}
                found[head, source, "leads"] = plots.interval_plot(
                    lead, f"NDCG@10 of {shipped}, minus another's", zero=True
                )
            found[head, source, "reliability"] = plots.reliability_plot(rows["reliability"])
        for kind, slices in head_report["slices"].items():
            rows = {f"{name} ({each['lists']} lists)": each["systems"][shipped] for name, each in slices.items()}
            found[head, kind] = plots.interval_plot(rows, f"NDCG@10 of {shipped}")
    for name, swap in (report["fairness"] or {}).items():
        found[name] = plots.ratio_plot(swap["groups"], FOUR_FIFTHS)
    if report["frontier"]:
        found["frontier"] = plots.shapes_plot(report["frontier"])
    if shares := report["shares"]:
        found["shares"] = plots.shares_plot(
            shares["points"], f"NDCG@10 of {shares['relevance']}", f"AUC of {shares['engagement']}"
        )
    if ablation := report["ablation"]:
        for name in ablation[0]["minus_whole"]:
            rows = {f"without {row['without']}": row["minus_whole"][name] for row in ablation}
            found["ablation", name] = plots.interval_plot(rows, f"{name}, minus the whole student's", zero=True)
    # Markup: our own SVG, whose texts the plotting library has escaped
    return {_key(place): Markup(svg) for place, svg in found.items()}


def _key(place: object) -> str:
    return "/".join(place) if isinstance(place, tuple) else str(place)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
