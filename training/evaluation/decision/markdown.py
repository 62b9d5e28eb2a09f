"""The report that decides as Markdown. Formats only; computes nothing."""

from __future__ import annotations

from training.evaluation.decision.report import DecisionReport
from training.evaluation.decision.sections import Section, sections
from training.policy.markdown import table


def decision_markdown(report: DecisionReport) -> str:
    """Verdict and gates first, then every section."""
    parts = [
        f"# {report.recipe}: {report.split} split, {report.date}\n",
        f"**{report.verdict.sentence}**\n",
        f"`{report.command}` at commit {report.commit[:12]}; {report.machine}.\n",
    ]
    if report.gates:
        rows = [[gate.name, gate.state, gate.sentence] for gate in report.gates]
        parts += ["## Gates\n", table(["gate", "", "found"], rows)]
    parts += [f"- {note}" for note in report.notes] + [""]
    for section in sections(report):
        parts += _section(section)
    return "\n".join(parts)


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}\n", section.note + "\n"]
    for each in section.tables:
        parts += [f"### {each.title}\n"] if each.title else []
        parts += [each.note + "\n"] if each.note else []
        parts.append(table(list(each.header), [list(row) for row in each.rows]))
    return parts
