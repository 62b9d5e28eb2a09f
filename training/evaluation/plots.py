"""Plots of the report as inline SVG: text stays text, and nothing is loaded. Draws figures, computes none."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.report import GroupReport, LossWeightSweep, ShapePoint
from training.metrics.bootstrap import Interval
from training.metrics.calibration import Bin

INK, SOFT, LEAD, WARN = "#1f2933", "#9aa5b1", "#1668b8", "#b44d12"
LEAST_SHARE = 0.05
"""A smaller share of a row has no figure in its cell."""
STYLE: Any = {  # its keys are a literal type of three hundred names
    "svg.fonttype": "none",
    "svg.hashsalt": "fitscore",  # the same figures give the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def interval_plot(
    rows: Mapping[str, Interval],
    label: str,
    *,
    emphasised: str = "",
    zero: bool = False,
    limits: tuple[float, float] | None = None,
) -> str:
    """A dot with its 95 % interval per row, from top to bottom; the `emphasised` row in colour.

    Without `limits` the axis fits the rows.
    """
    figure, axes = _figure(7.2, 0.6 + 0.34 * len(rows))
    for place, (name, row) in enumerate(rows.items()):
        colour = LEAD if name == emphasised else INK
        axes.errorbar(row.mean, -place, xerr=_reach(row), fmt="o", color=colour, capsize=3, markersize=5)
    axes.set_yticks([-place for place in range(len(rows))], list(rows))
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_xlabel(label)
    if limits:
        axes.set_xlim(*limits)
    axes.grid(axis="x", color="#e4e7eb")
    if zero:
        axes.axvline(0, color=WARN, linewidth=1)
    return _svg(figure)


def grades_plot(rows: Mapping[str, Sequence[Sequence[int]]]) -> str:
    """A square for each question: stated grade by the judge's, darker where more of the judge's grade are stated so."""
    figure = _figure(2.1 * len(rows), 2.5)[0]
    figure.clear()
    for place, (name, counts) in enumerate(rows.items(), 1):
        with mpl.rc_context(STYLE):
            axes = figure.add_subplot(1, len(rows), place)
        grades = range(len(counts))
        shares = [[count / max(sum(row), 1) for count in row] for row in counts]
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1)  # cells as shapes: an image would be a file in the page
        axes.set_aspect("equal")
        for judged, row in enumerate(shares):
            for stated, share in enumerate(row):
                if share >= LEAST_SHARE:
                    colour = "white" if share > 0.5 else INK
                    axes.text(
                        stated + 0.5, judged + 0.5, f"{share:.0%}", ha="center", va="center", fontsize=7, color=colour
                    )
        axes.set_title(name, fontsize=10)
        axes.set_xticks([each + 0.5 for each in grades], [str(each) for each in grades])
        axes.set_yticks([each + 0.5 for each in grades], [str(each) for each in grades])
        axes.set_xlabel("stated")
        if place == 1:
            axes.set_ylabel("judged")
    return _svg(figure)


def curve_plot(losses: Sequence[tuple[int, float]], valid: Sequence[tuple[int, float]]) -> str:
    """The loss by step, and what validation lists say on an axis of its own."""
    figure, axes = _figure(5.2, 2.4)
    axes.plot(*zip(*losses, strict=True), color=LEAD, linewidth=1)
    axes.set(xlabel="step", ylabel="loss")
    axes.grid(color="#e4e7eb")
    if valid:
        other = axes.twinx()
        other.plot(*zip(*valid, strict=True), color=WARN, marker="o", markersize=3, linewidth=1)
        other.set_ylabel("validation", color=WARN)
    return _svg(figure)


RARE = 0.2
"""Under this, the axes of a reliability plot end where its dots do."""


def reliability_plot(bins: Sequence[Bin]) -> str:
    """Observed gain against stated probability; a dot's area is its share of the pairs."""
    figure, axes = _figure(4.4, 4.0)
    total = sum(each.count for each in bins)
    stated, observed = [each.stated for each in bins], [each.observed for each in bins]
    most = max(1e-3, 1.1 * max([*stated, *observed], default=1.0))
    most = 1.0 if most > RARE else most  # of rare actions, what is near 0 is all that there is to see
    axes.plot([0, most], [0, most], color=SOFT, linewidth=1, linestyle="--")
    axes.plot(stated, observed, color=LEAD, linewidth=1)
    axes.scatter(stated, observed, s=[20 + 600 * each.count / total for each in bins], color=LEAD, alpha=0.6)
    limits = (-0.03 * most, 1.03 * most)
    axes.set(xlim=limits, ylim=limits, xlabel="stated probability", ylabel="mean gain observed")
    return _svg(figure)


def loss_weights_plot(sweep: LossWeightSweep) -> str:
    """Relevance against engagement for each loss weight, with both intervals; the chosen point in colour."""
    figure, axes = _figure(6.4, 4.4)
    points = sweep.points
    axes.plot(
        [each.relevance.mean for each in points], [each.engagement.mean for each in points], color=SOFT, linewidth=1
    )
    for each in points:
        x, y = each.relevance, each.engagement
        colour = LEAD if each.chosen else INK
        axes.errorbar(x.mean, y.mean, xerr=_reach(x), yerr=_reach(y), fmt="o", color=colour, ecolor=SOFT, elinewidth=1)
        axes.annotate(f"{each.weight:g}", (x.mean, y.mean), textcoords="offset points", xytext=(7, 5), color=INK)
    axes.set(xlabel=f"NDCG@10 of {sweep.relevance}", ylabel=f"AUC of {sweep.engagement}")
    axes.grid(color="#e4e7eb")
    return _svg(figure)


def shapes_plot(points: Sequence[ShapePoint]) -> str:
    """Quality against throughput of the student's shapes: NDCG@10 minus the first shape's, by pairs/s.

    Both it and its 95 % interval are means over sources, which makes the interval rather too wide than too narrow.
    """
    figure, axes = _figure(7.2, 4.4)
    axes.axhline(0, color=WARN, linewidth=1)
    for each in points:
        found = [source.minus_reference for source in each.sources.values()]
        bounds = [(one.low, one.mean, one.high) for one in found]
        low, mean, high = (sum(values) / len(found) for values in zip(*bounds, strict=True))
        rate, reach = each.pairs_per_second, _reach(Interval(mean, low, high))
        axes.errorbar(rate, mean, yerr=reach, fmt="o", color=LEAD, ecolor=SOFT, capsize=3)
        axes.annotate(each.name, (rate, high), textcoords="offset points", xytext=(3, 3), color=INK, rotation=60)
    axes.set(
        xscale="log",
        xlabel="pairs/s of the graphs, encoded candidates",
        ylabel=f"NDCG@10 minus {points[0].name}, mean over sources",
    )
    axes.margins(x=0.1, y=0.2)
    axes.grid(color="#e4e7eb")
    return _svg(figure)


def ratio_plot(groups: Mapping[str, GroupReport], least: float) -> str:
    """Both impact ratios of each group as bars, with the least ratio that passes."""
    figure, axes = _figure(7.2, 0.8 + 0.5 * len(groups))
    for place, row in enumerate(groups.values()):
        axes.barh(-place + 0.17, row.scoring_ratio, height=0.3, color=LEAD)
        axes.barh(-place - 0.17, row.selection_ratio, height=0.3, color="#8fb8de")
    axes.axvline(least, color=WARN, linewidth=1.2, linestyle="--")
    axes.set_yticks([-place for place in range(len(groups))], list(groups))
    axes.set(xlim=(0, 1.05), xlabel="impact ratio: scores above the median (dark), first places (light)")
    return _svg(figure)


def _reach(interval: Interval) -> list[list[float]]:
    """Distances from the mean to both bounds, as matplotlib's error bars need them."""
    return [[interval.mean - interval.low], [interval.high - interval.mean]]


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    """The `<svg>` element alone."""
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    text = out.getvalue()
    return text[text.index("<svg") :]
