"""The evaluation report as a page that a person reads. Formats only; computes nothing."""

from __future__ import annotations

from typing import Any


def markdown(report: dict[str, Any]) -> str:
    """Tables by head and source: each system's metrics, and the shipped student's lead over each other system."""
    parts = ["# Evaluation on held-out lists\n", "Means over lists with bootstrap 95 % intervals.\n"]
    for head, head_report in report["heads"].items():
        for source, rows in head_report["sources"].items():
            parts.append(f"## {head} on {source} ({rows['lists']} lists)\n")
            parts.append(systems_table(rows["systems"]))
            parts.append(_leads(rows["student_minus"]))
            parts.append(f"Expected calibration error of the shipped student: {rows['calibration_error']:.3f}\n")
    return "\n".join(parts)


def systems_table(systems: dict[str, Any]) -> str:
    """One row a system, one column a metric."""
    metrics = list(next(iter(systems.values())))
    lines = ["| system | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for name, rows in systems.items():
        lines.append(f"| {name} | " + " | ".join(interval(rows[metric]) for metric in metrics) + " |")
    return "\n".join(lines) + "\n"


def interval(figure: dict[str, float]) -> str:
    """`0.812 [0.790, 0.833]`."""
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _leads(leads: dict[str, Any]) -> str:
    lines = [f"- student-int8 minus {name}, NDCG@10: {interval(figure)}" for name, figure in leads.items()]
    return "\n".join(lines) + "\n"
