"""The evaluation report as one self-contained HTML page for product managers and engineers; it loads nothing.

Lays out the report, with plots, and the worst errors. Texts are escaped: they come from members and candidates.
Computes nothing.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.evaluation import plots
from training.evaluation.fairness import FOUR_FIFTHS
from training.evaluation.markdown_report import UNGRADED, UNMEASURED
from training.evaluation.report import HeadReport, Report
from training.evaluation.worst_errors import WorstErrors
from training.metrics.rates import ORDERS

METRICS = {"ndcg@10": "NDCG@10", "mrr": "MRR", "auc": "AUC", "kappa": "quadratic kappa with gold"}
ORDER_METRICS = {title: title for title in ORDERS}


def html(title: str, report: Report, errors: WorstErrors) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"interval": "{:.3f}".format, "signed": "{:+.3f}".format, "percent": _percent}
    return environment.get_template("html_report.html.j2").render(
        title=title,
        report=report,
        metrics=METRICS | (ORDER_METRICS if _has_counts(report) else {}),
        errors={"Scored too high": errors.too_high, "Scored too low": errors.too_low},
        unmeasured=UNMEASURED,
        ungraded=UNGRADED,
        four_fifths=FOUR_FIFTHS,
        plots=_plots(report),
    )


def _has_counts(report: Report) -> bool:
    return any(rows.pairs for head in report.heads.values() for rows in head.sources.values())


def _plots(report: Report) -> dict[str, Markup]:
    """Plots by their place in the page."""
    found: dict[str, str] = {}
    for head, head_report in report.heads.items():
        found |= _head_plots(head, head_report, report.shipped)
    for name, swap in (report.fairness or {}).items():
        found[name] = plots.ratio_plot(swap.groups, FOUR_FIFTHS)
    if report.frontier:
        found["frontier"] = plots.shapes_plot(report.frontier)
    if report.shares:
        found["shares"] = plots.loss_weights_plot(report.shares)
    if report.ablation:
        for metric in report.ablation[0].minus_whole:
            rows = {f"without {row.without}": row.minus_whole[metric] for row in report.ablation}
            found[f"ablation/{metric}"] = plots.interval_plot(rows, f"{metric}, minus the whole student's", zero=True)
    # Markup: our own SVG, whose texts the plotting library has escaped
    return {place: Markup(svg) for place, svg in found.items()}


def _head_plots(head: str, report: HeadReport, shipped: str) -> dict[str, str]:
    found = {}
    for source, rows in report.sources.items():
        ndcg = {name: row["ndcg@10"] for name, row in rows.systems.items()}
        found[f"{head}/{source}/systems"] = plots.interval_plot(ndcg, "NDCG@10", emphasised=shipped)
        if rows.student_minus:
            leads = {f"minus {name}": lead for name, lead in rows.student_minus.items()}
            label = f"NDCG@10 of {shipped}, minus another's"
            found[f"{head}/{source}/leads"] = plots.interval_plot(leads, label, zero=True)
        found[f"{head}/{source}/reliability"] = plots.reliability_plot(rows.reliability)
    for kind, slices in report.slices.items():
        named = {f"{name} ({each.lists} lists)": each.systems[shipped] for name, each in slices.items()}
        found[f"{head}/{kind}"] = plots.interval_plot(named, f"NDCG@10 of {shipped}")
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
