"""What a run of labelling reports: as a value, and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from training.judging.answer_cache import Spending
from training.judging.gate import Gate
from training.policy.markdown import table


@dataclass(frozen=True)
class LabelReport:
    """The content of `labels.json`. `pairs` counts the drawn pairs by status."""

    policy: str
    model: str
    second_model: str | None
    precedents: int
    in_pool: list[int]
    drawn: list[int]
    pairs: dict[str, int]
    spent: Spending
    gates: list[Gate]
    waiting: list[str]
    """Batch files whose answers are needed before there are labels."""


def label_markdown(report: LabelReport) -> str:
    """The report for people."""
    lines = [f"# Labels by {report.model} under {report.policy}\n"]
    if report.waiting:
        lines.append(f"No labels yet: {', '.join(report.waiting)} wait for their answers.\n")
    strata = zip(report.in_pool, report.drawn, strict=True)
    lines.append("Pool and draw, from low to high scores: " + ", ".join(f"{d} of {p}" for p, d in strata) + ".\n")
    counts = ", ".join(f"{status} {count}" for status, count in sorted(report.pairs.items()))
    lines.append(f"Pairs: {counts}. Precedents in the prompt: {report.precedents}.\n")
    lines.append(f"Spent so far: {report.spent.tokens} tokens, {report.spent.dollars:.2f} dollars.\n")
    rows = [[each.dimension, each.by, *_cells(each), "used" if each.passed else "held back"] for each in report.gates]
    columns = ["dimension", "held to", "pairs", "quadratic kappa", "threshold", "labels"]
    return "\n".join([*lines, table(columns, rows)] if rows else lines)


def _cells(gate: Gate) -> list[str]:
    if gate.found is None:
        return ["0", "not measured", ""]
    return [str(gate.found.pairs), f"{gate.found.kappa:.3f}", f"{gate.threshold}"]
