"""Plots of the report as inline SVG: text stays text, nothing is loaded from anywhere. Draws figures, computes none."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, LEAD, WARN = "#1f2933", "#9aa5b1", "#1668b8", "#b44d12"
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
IntervalRow = Mapping[str, float]


def interval_plot(rows: Mapping[str, IntervalRow], label: str, *, emphasised: str = "", zero: bool = False) -> str:
    """A dot with its 95 % interval a row, from top to bottom; the `emphasised` row in colour."""
    figure, axes = _figure(7.2, 0.6 + 0.34 * len(rows))
    for place, (name, row) in enumerate(rows.items()):
        colour = LEAD if name == emphasised else INK
        reach = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        axes.errorbar(row["mean"], -place, xerr=reach, fmt="o", color=colour, capsize=3, markersize=5)
    axes.set_yticks([-place for place in range(len(rows))], list(rows))
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_xlabel(label)
    axes.grid(axis="x", color="#e4e7eb")
    if zero:
        axes.axvline(0, color=WARN, linewidth=1)
    return _svg(figure)


def reliability_plot(bins: Sequence[Mapping[str, float]]) -> str:
    """Observed against stated probability; a dot's area is its share of the pairs."""
    figure, axes = _figure(4.4, 4.0)
    total = sum(each["count"] for each in bins)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
    axes.plot([each["stated"] for each in bins], [each["observed"] for each in bins], color=LEAD, linewidth=1)
    sizes = [20 + 600 * each["count"] / total for each in bins]
    axes.scatter([each["stated"] for each in bins], [each["observed"] for each in bins], s=sizes, color=LEAD, alpha=0.6)
    axes.set(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        xlabel="probability that the student states",
        ylabel="mean gain observed",
    )
    return _svg(figure)


def shares_plot(points: Sequence[Mapping[str, Any]], relevance: str, engagement: str) -> str:
    """Relevance against engagement as the teachers' weights move, with both intervals; the chosen point in colour."""
    figure, axes = _figure(6.4, 4.4)
    axes.plot(
        [each["relevance"]["mean"] for each in points],
        [each["engagement"]["mean"] for each in points],
        color=SOFT,
        linewidth=1,
    )
    for each in points:
        x, y = each["relevance"], each["engagement"]
        axes.errorbar(
            x["mean"],
            y["mean"],
            xerr=[[x["mean"] - x["low"]], [x["high"] - x["mean"]]],
            yerr=[[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
            fmt="o",
            color=LEAD if each["chosen"] else INK,
            ecolor=SOFT,
            elinewidth=1,
        )
        axes.annotate(
            f"{each['weight']:g}", (x["mean"], y["mean"]), textcoords="offset points", xytext=(7, 5), color=INK
        )
    axes.set(xlabel=relevance, ylabel=engagement)
    axes.grid(color="#e4e7eb")
    return _svg(figure)


def shapes_plot(points: Sequence[Mapping[str, Any]]) -> str:
    """Quality against pace of the student's shapes: NDCG@10 minus that of the first, by pairs/s. Both it and its 95 %
    interval are means over sources, which makes an interval rather too wide than too narrow.
    """
    figure, axes = _figure(7.2, 4.4)
    axes.axhline(0, color=WARN, linewidth=1)
    for each in points:
        found = [source["minus_reference"] for source in each["sources"].values()]
        low, mean, high = (sum(row[bound] for row in found) / len(found) for bound in ("low", "mean", "high"))
        pace = each["pairs_per_second"]
        axes.errorbar(pace, mean, yerr=[[mean - low], [high - mean]], fmt="o", color=LEAD, ecolor=SOFT, capsize=3)
        axes.annotate(each["name"], (pace, high), textcoords="offset points", xytext=(3, 3), color=INK, rotation=60)
    first = points[0]["name"]
    axes.set(
        xscale="log",
        xlabel="pairs/s of the graphs, warm candidates",
        ylabel=f"NDCG@10 minus {first}, mean over sources",
    )
    axes.margins(x=0.1, y=0.2)
    axes.grid(color="#e4e7eb")
    return _svg(figure)


def ratio_plot(groups: Mapping[str, Mapping[str, Any]], least: float) -> str:
    """Both impact ratios of each group as bars, with the least that counts as even."""
    figure, axes = _figure(7.2, 0.8 + 0.5 * len(groups))
    for place, row in enumerate(groups.values()):
        axes.barh(-place + 0.17, row["scoring_ratio"], height=0.3, color=LEAD)
        axes.barh(-place - 0.17, row["selection_ratio"], height=0.3, color="#8fb8de")
    axes.axvline(least, color=WARN, linewidth=1.2, linestyle="--")
    axes.set_yticks([-place for place in range(len(groups))], list(groups))
    axes.set(xlim=(0, 1.05), xlabel="impact ratio: scores above the median (dark), first places (light)")
    return _svg(figure)


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
