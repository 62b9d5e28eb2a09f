"""The evaluation report as a page that a person reads. Formats only; computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    lines = [
        f"| share of engagement | NDCG@10 of {shares['relevance']} | AUC of {shares['engagement']} |",
        "|---|---|---|",
    ]
    for point in shares["points"]:
        name = f"{point['weight']:g}" + (" (ships)" if point["chosen"] else "")
        lines.append(f"| {name} | {interval(point['relevance'])} | {interval(point['engagement'])} |")
    return "\n".join(lines) + "\n"


def ablation_table(rows: Sequence[dict[str, Any]]) -> str:
    """A row a lever that was turned off: what that changed."""
    figures = list(rows[0]["minus_whole"])
    lines = ["| without | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for row in rows:
        cells = " | ".join(signed(row["minus_whole"][name]) for name in figures)
        lines.append(f"| {row['without']} | {cells} |")
    return "\n".join(lines) + "\n"


def variants_tables(variants: Sequence[dict[str, Any]]) -> str:
    """What each variant costs, then how it ranks on each source beside the first: the whole student in fp32."""
    paces = list(variants[0]["pace"])
    lines = [
        "| variant | feed-forward units | MB | " + " | ".join(f"{each}/s" for each in paces) + " |",
        "|---" * (len(paces) + 3) + "|",
    ]
    for row in variants:
        figures = " | ".join(f"{row['pace'][each]:,.0f}" for each in paces)
        lines.append(f"| {row['name']} | {row['units']} | {row['size'] / 1e6:.1f} | {figures} |")
    for source, first in variants[0]["sources"].items():
        lines += [
            f"\n| on {source} ({first['lists']} lists) | NDCG@10 | minus {variants[0]['name']} | same first choice |",
            "|---|---|---|---|",
        ]
        for row in variants:
            found = row["sources"][source]
            cells = " | ".join([interval(found["ndcg@10"]), signed(found["minus_reference"]), interval(found["top1"])])
            lines.append(f"| {row['name']} | {cells} |")
    return "\n".join(lines) + "\n"


def frontier_table(points: Sequence[dict[str, Any]]) -> str:
    """A row a shape: quality by source, pace of the score graph, bytes of a kept candidate."""
    sources = list(points[0]["ndcg"])
    lines = [
        "| slots x joint layers | " + " | ".join(f"NDCG@10 {source}" for source in sources) + " | pairs/s | bytes |",
        "|---" * (len(sources) + 3) + "|",
    ]
    for point in points:
        figures = " | ".join(f"{point['ndcg'][source]:.3f}" for source in sources)
        pace, size = point["pairs_per_second"], point["slot_bytes"]
        lines.append(f"| {point['name']} | {figures} | {pace:,.0f} | {size:,} |")
    return "\n".join(lines) + "\n"


def systems_table(systems: dict[str, Any]) -> str:
    """One row a system, one column a metric."""
    metrics = list(dict.fromkeys(metric for rows in systems.values() for metric in rows))
    lines = ["| system | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    if "prompting" not in systems:
        lines.append(f"| prompting | {UNMEASURED} |" + " |" * (len(metrics) - 1))
    for name, rows in systems.items():
        lines.append(
            f"| {name} | " + " | ".join(interval(rows[metric]) if metric in rows else "-" for metric in metrics) + " |"
        )
    return "\n".join(lines) + "\n"


def prompting(judge: Mapping[str, Any]) -> str:
    """What step `judge` found: the prompting baseline on golden pairs. A column that was not measured says so."""
    lines = ["# Prompting: a judge against the golden set\n"]
    lines.append(f"Model: {judge['model']}.\n" if judge["measured"] else f"Not measured: {judge['why']}.\n")
    lines += ["| dimension | pairs | quadratic kappa with gold | same grade |", "|---|---|---|---|"]
    for row in judge["agreement"]:
        found = row["agreement"]
        if found is None:
            lines.append(f"| {row['dimension']} | 0 | not measured | not measured |")
        else:
            cells = f"{found['pairs']} | {interval(found['kappa'])} | {found['exact']:.0%}"
            lines.append(f"| {row['dimension']} | {cells} |")
    if judge["pairs"]:
        lines.append("\nPairs: " + ", ".join(f"{status} {count}" for status, count in judge["pairs"].items()) + ".")
        lines.append(f"Spent: {judge['spent']['tokens']} tokens, {judge['spent']['dollars']:.2f} dollars.")
    return "\n".join(lines) + "\n"


def interval(figure: Mapping[str, float]) -> str:
    """`0.812 [0.790, 0.833]`."""
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def signed(figure: Mapping[str, float]) -> str:
    """`+0.012 [-0.002, +0.026]`."""
    return f"{figure['mean']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"


def _leads(leads: dict[str, Any]) -> str:
    lines = [f"- student-int8 minus {name}, NDCG@10: {interval(figure)}" for name, figure in leads.items()]
    return "\n".join(lines) + "\n"
