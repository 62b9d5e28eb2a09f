"""What the judge step reports: the prompting baseline against the golden set, as a value and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from training.judging.answer_cache import Spending
from training.metrics.kappa import Agreement
from training.policy.markdown import table


@dataclass(frozen=True)
class DimensionAgreement:
    """How well the judge agrees with gold in one dimension; None if it graded no such pair."""

    dimension: str
    agreement: Agreement | None


@dataclass(frozen=True)
class JudgeReport:
    """Whether prompting was measured, and if not, `why`; counts of `pairs` by status, cost, agreement with gold."""

    measured: bool
    why: str
    policy: str
    model: str | None
    pairs: dict[str, int]
    spent: Spending
    agreement: list[DimensionAgreement]


def judge_markdown(report: JudgeReport) -> str:
    """A section for people. A dimension that was not measured says so."""
    lines = ["# Prompting: a judge against the golden set\n"]
    lines.append(f"Model: {report.model}.\n" if report.measured else f"Not measured: {report.why}.\n")
    rows = [[row.dimension, *_cells(row.agreement)] for row in report.agreement]
    lines.append(table(["dimension", "pairs", "quadratic kappa with gold", "same grade"], rows).rstrip())
    if report.pairs:
        lines.append("\nPairs: " + ", ".join(f"{status} {count}" for status, count in report.pairs.items()) + ".")
        lines.append(f"Spent: {report.spent.tokens} tokens, {report.spent.dollars:.2f} dollars.")
    return "\n".join(lines) + "\n"


def _cells(found: Agreement | None) -> list[str]:
    if found is None:
        return ["0", "not measured", "not measured"]
    return [str(found.pairs), f"{found.kappa:.3f}", f"{found.exact:.0%}"]
