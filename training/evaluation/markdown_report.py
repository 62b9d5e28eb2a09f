"""The evaluation report as Markdown. Formats only; computes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluation.report import Ablation, LossWeightSweep, Report, ShapePoint, SourceReport, Variant
from training.judging.judge_report import JudgeReport, judge_markdown
from training.policy.markdown import table

UNGRADED = "No policy grade exists: every head is an action of the log, and no figure says what fits by the policy."
UNMEASURED = "not measured: no endpoint of a large model was given"


def markdown(report: Report) -> str:
    """Tables by head and source: each system's metrics, and the shipped student's lead over each other system."""
    parts = ["# Evaluation on held-out lists\n", "Means over lists with bootstrap 95 % intervals.\n"]
    if not report.graded:
        parts.append(UNGRADED + "\n")
    for head, head_report in report.heads.items():
        for source, rows in head_report.sources.items():
            parts += [f"## {head} on {source} ({rows.lists} lists)\n", systems_table(rows, report.judge)]
            leads = [
                f"- {report.shipped} minus {name}, NDCG@10: {each:.3f} ({rows.compared[name]} lists)"
                for name, each in rows.student_minus.items()
            ]
            parts.append("\n".join(leads) + "\n")
            stated = f"calibration error {rows.calibration_error:.3f}, Brier skill {rows.brier_skill:.3f}"
            parts.append(f"Of the shipped student: {stated}\n")
            if rows.pairs:
                counts = ", ".join(f"{title} of {count:,}" for title, count in rows.pairs.items())
                parts.append(f"Pairs are of one list: {counts}. Chance is .5.\n")
    parts.append(judge_markdown(report.judge).replace("# ", "## ", 1))
    if report.frontier:
        parts += ["## Architecture sweep of the split student (validation lists)\n", shapes_table(report.frontier)]
    if report.shares:
        parts += ["## Loss weights of the teachers (validation lists)\n", loss_weights_table(report.shares)]
    if report.ablation:
        parts += ["## Ablations, minus the whole student (validation lists)\n", ablation_table(report.ablation)]
    if report.variants:
        parts += ["## Compression (validation lists)\n", variants_tables(report.variants)]
    return "\n".join(parts)


def loss_weights_table(sweep: LossWeightSweep) -> str:
    """A row per share of the engagement teacher in the loss."""
    rows = [
        [f"{each.weight:g}" + (" (ships)" if each.chosen else ""), f"{each.relevance:.3f}", f"{each.engagement:.3f}"]
        for each in sweep.points
    ]
    return table(["share of engagement", f"NDCG@10 of {sweep.relevance}", f"AUC of {sweep.engagement}"], rows)


def ablation_table(ablations: Sequence[Ablation]) -> str:
    """A row per ablation: the change in each metric."""
    metrics = list(ablations[0].minus_whole)
    return table(
        ["without", *metrics],
        [[each.without, *(f"{each.minus_whole[name]:+.3f}" for name in metrics)] for each in ablations],
    )


def variants_tables(variants: Sequence[Variant]) -> str:
    """The cost of each variant, then its quality on each source beside the first: the unpruned student in fp32."""
    first = variants[0]
    costs = []
    for each in variants:
        rates = (f"{each.pace[kind]:,.0f}" for kind in first.pace)
        costs.append([each.name, str(each.units), f"{each.size / 1e6:.1f}", *rates])
    tables = [table(["variant", "feed-forward units", "MB", *(f"{kind}/s" for kind in first.pace)], costs)]
    for source, quality in first.sources.items():
        rows = []
        for each in variants:
            found = each.sources[source]
            rows.append([each.name, f"{found.ndcg:.3f}", f"{found.minus_reference:+.3f}", f"{found.top1:.3f}"])
        name = f"on {source} ({quality.lists} lists)"
        tables.append(table([name, "NDCG@10", f"minus {first.name}", "same first choice"], rows))
    return "\n".join(tables)


def shapes_table(points: Sequence[ShapePoint]) -> str:
    """A row per shape: its quality on each source beside the first shape, throughput, and bytes of a kept candidate."""
    first, rows = points[0], []
    columns = [column for source in first.sources for column in (f"NDCG@10 {source}", f"minus {first.name}")]
    for each in points:
        quality = []
        for source in first.sources:
            found = each.sources[source]
            quality += [f"{found.ndcg.mean:.3f}", f"{found.minus_reference:+.3f}"]
        rows.append([each.name, *quality, f"{each.pairs_per_second:,.0f}", f"{each.slot_bytes:,}"])
    return table(["shape", *columns, "pairs/s", "bytes"], rows)


def systems_table(report: SourceReport, judge: JudgeReport) -> str:
    """A row per system, a column per metric, and the lists that each system scored."""
    systems = report.systems
    metrics = list(dict.fromkeys(metric for found in systems.values() for metric in found))
    rows = [
        [name, str(report.read[name]), *(f"{found[metric]:.3f}" if metric in found else "-" for metric in metrics)]
        for name, found in systems.items()
    ]
    if "prompting" not in systems and not judge.measured:
        rows.insert(0, ["prompting", "-", UNMEASURED, *[""] * (len(metrics) - 1)])
    return table(["system", "lists", *metrics], rows)
