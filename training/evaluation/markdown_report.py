"""The evaluation report as a page that a person reads. Formats only; computes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNMEASURED = "not measured: no endpoint of a large model was given"


def markdown(report: dict[str, Any]) -> str:
    """Tables by head and source: each system's metrics, and the shipped student's lead over each other system."""
    parts = ["# Evaluation on held-out lists\n", "Means over lists with bootstrap 95 % intervals.\n"]
    for head, head_report in report["heads"].items():
        for source, rows in head_report["sources"].items():
            parts.append(f"## {head} on {source} ({rows['lists']} lists)\n")
            parts.append(systems_table(rows["systems"]))
            parts.append(_leads(rows["student_minus"]))
            parts.append(f"Expected calibration error of the shipped student: {rows['calibration_error']:.3f}\n")
    parts.append(prompting(report["judge"]).replace("# ", "## ", 1))
    if report["frontier"]:
        parts += ["## Frontier of the split student's shapes (validation lists)\n", frontier_table(report["frontier"])]
    if report["shares"]:
        parts += ["## Shares of the teachers (validation lists)\n", shares_table(report["shares"])]
    if report["ablation"]:
        parts += ["## Ablation: a lever off, minus the whole student (validation lists)\n"]
        parts += [ablation_table(report["ablation"])]
    if report["variants"]:
        parts += ["## Compression (validation lists)\n", variants_tables(report["variants"])]
    return "\n".join(parts)


def shares_table(shares: Mapping[str, Any]) -> str:
    """A row a share of the engagement teacher in the loss."""
    rows = []
    for point in shares["points"]:
        name = f"{point['weight']:g}" + (" (ships)" if point["chosen"] else "")
        rows.append([name, interval(point["relevance"]), interval(point["engagement"])])
    columns = ["share of engagement", f"NDCG@10 of {shares['relevance']}", f"AUC of {shares['engagement']}"]
    return _table(columns, rows)


def ablation_table(rows: Sequence[dict[str, Any]]) -> str:
    """A row a lever that was turned off: what that changed."""
    figures = list(rows[0]["minus_whole"])
    found = ([row["without"], *(signed(row["minus_whole"][name]) for name in figures)] for row in rows)
    return _table(["without", *figures], found)


def variants_tables(variants: Sequence[dict[str, Any]]) -> str:
    """What each variant costs, then how it ranks on each source beside the first: the whole student in fp32."""
    sources = variants[0]["sources"]
    return "\n".join([_costs(variants), *(_quality(variants, source) for source in sources)])


def _costs(variants: Sequence[dict[str, Any]]) -> str:
    paces = list(variants[0]["pace"])
    rows = []
    for row in variants:
        figures = [f"{row['pace'][each]:,.0f}" for each in paces]
        rows.append([row["name"], str(row["units"]), f"{row['size'] / 1e6:.1f}", *figures])
    return _table(["variant", "feed-forward units", "MB", *(f"{each}/s" for each in paces)], rows)


def _quality(variants: Sequence[dict[str, Any]], source: str) -> str:
    first, rows = variants[0], []
    for row in variants:
        found = row["sources"][source]
        figures = [interval(found["ndcg@10"]), signed(found["minus_reference"]), interval(found["top1"])]
        rows.append([row["name"], *figures])
    name = f"on {source} ({first['sources'][source]['lists']} lists)"
    return _table([name, "NDCG@10", f"minus {first['name']}", "same first choice"], rows)


def frontier_table(points: Sequence[dict[str, Any]]) -> str:
    """A row a shape: how it ranks each source, beside the first shape, its pace, and bytes of a kept candidate."""
    first, rows = points[0]["name"], []
    sources = list(points[0]["sources"])
    columns = [column for source in sources for column in (f"NDCG@10 {source}", f"minus {first}")]
    for point in points:
        found = [point["sources"][source] for source in sources]
        quality = [
            cell for each in found for cell in (f"{each['ndcg@10']['mean']:.3f}", signed(each["minus_reference"]))
        ]
        rows.append([point["name"], *quality, f"{point['pairs_per_second']:,.0f}", f"{point['slot_bytes']:,}"])
    return _table(["slots x joint layers", *columns, "pairs/s", "bytes"], rows)


def systems_table(systems: dict[str, Any]) -> str:
    """One row a system, one column a metric."""
    metrics = list(dict.fromkeys(metric for rows in systems.values() for metric in rows))
    rows = [
        [name, *(interval(found[metric]) if metric in found else "-" for metric in metrics)]
        for name, found in systems.items()
    ]
    if "prompting" not in systems:
        rows.insert(0, ["prompting", UNMEASURED, *[""] * (len(metrics) - 1)])
    return _table(["system", *metrics], rows)


def prompting(judge: Mapping[str, Any]) -> str:
    """What step `judge` found: the prompting baseline on golden pairs. A column that was not measured says so."""
    lines = ["# Prompting: a judge against the golden set\n"]
    lines.append(f"Model: {judge['model']}.\n" if judge["measured"] else f"Not measured: {judge['why']}.\n")
    agreement = ([row["dimension"], *_agreement(row["agreement"])] for row in judge["agreement"])
    lines.append(_table(["dimension", "pairs", "quadratic kappa with gold", "same grade"], agreement).rstrip())
    if judge["pairs"]:
        lines.append("\nPairs: " + ", ".join(f"{status} {count}" for status, count in judge["pairs"].items()) + ".")
        lines.append(f"Spent: {judge['spent']['tokens']} tokens, {judge['spent']['dollars']:.2f} dollars.")
    return "\n".join(lines) + "\n"


def _agreement(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["0", "not measured", "not measured"]
    return [str(found["pairs"]), interval(found["kappa"]), f"{found['exact']:.0%}"]


def interval(figure: Mapping[str, float]) -> str:
    """`0.812 [0.790, 0.833]`."""
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def signed(figure: Mapping[str, float]) -> str:
    """`+0.012 [-0.002, +0.026]`."""
    return f"{figure['mean']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    lines.insert(1, "|---" * len(columns) + "|")
    return "\n".join(lines) + "\n"


def _leads(leads: dict[str, Any]) -> str:
    lines = [f"- student-int8 minus {name}, NDCG@10: {interval(figure)}" for name, figure in leads.items()]
    return "\n".join(lines) + "\n"
