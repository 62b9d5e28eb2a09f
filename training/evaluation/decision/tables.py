"""Tables of what a judge graded: questions, grades, breaks; and the ablation. Formats; computes no figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.evaluation.decision.agreement import GRADES, Agreement
from training.evaluation.decision.breaks import Break
from training.evaluation.decision.report import DecisionReport
from training.evaluation.report import Ablation
from training.metrics.bootstrap import Interval
from training.policy.policy import OVERALL

DASH = "-"
REGRADE = "regrade.csv"
"""The file beside the report with the pairs of its breaks, for people to grade."""


@dataclass(frozen=True)
class Table:
    """`marked` are the rows of the student, or of what is worst. Lines of `note` are paragraphs."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: frozenset[int] = frozenset()


def grade_tables(found: Sequence[Agreement]) -> Iterable[Table]:
    """For each set, judge and system: a row for each question, a column for each grade."""
    for key in dict.fromkeys((each.set, each.judge, each.system) for each in found):
        some = [each for each in found if (each.set, each.judge, each.system) == key]
        rows = []
        for each in some:
            cells = [
                DASH if mean is None else f"{mean:.1f} ({sum(counts):,})"
                for mean, counts in zip(each.stated, each.counts, strict=True)
            ]
            rows.append((each.question, f"{each.pairs:,}", *cells, f"{each.far:.0%}"))
        name, judge, system = key
        of = f"grades of {name}" if judge == "grades" else f"{judge} on {name}"
        header = ("question", "pairs", *(f"grade {grade} (pairs)" for grade in range(GRADES)), "two apart")
        yield Table(f"The {system} beside the {of}", "", header, tuple(rows))


def break_table(each: Break) -> Table:
    """One break: its texts, where it stood, the rule, and every question with the judge's reason."""
    way = "above" if each.gap > 0 else "below"
    title = f"Pair {each.candidate_id} for {each.member_id}: {each.stated:.1f} stated, {each.judged} judged"
    place = f"It is at place {each.place} of {each.candidates}, {way} what the policy grants."
    rows = [
        (
            answer.question,
            DASH if answer.judged is None else str(answer.judged),
            DASH if answer.stated is None else f"{answer.stated:.1f}",
            answer.reason or DASH,
        )
        for answer in each.answers
    ]
    marked = frozenset(row for row, answer in enumerate(each.answers) if answer.question == each.question)
    note = f"{place} By the rule, {each.rule}.\nMember: {each.member}\nCandidate: {each.candidate}"
    return Table(title, note, ("question", "judge", "student", "the judge's reason"), tuple(rows), marked)


def in_short(report: DecisionReport) -> list[str]:
    """Sentences for the first screen: how the student grades, its weakest question, and what to regrade."""
    found = [each for each in report.agreements if each.judge == "grades" and each.system == "student"]
    sentences = []
    if found and found[0].question == OVERALL:
        whole = found[0]
        low, high = whole.stated[0], whole.stated[-1]
        ends = [f"grade {grade}: {mean:.1f}" for grade, mean in ((0, low), (GRADES - 1, high)) if mean is not None]
        sentences.append(
            f"On {whole.set}, {whole.pairs:,} pairs: {whole.far:.0%} of the student's grades are two or more from the"
            f" judge's. Stated on average for {'; for '.join(ends)}."
        )
        of_questions = [each for each in found if each.set == whole.set and each.question != OVERALL]
        least = max(of_questions, key=lambda each: each.far)
        sentences.append(
            f"Weakest question: {least.question}, {least.far:.0%} of {least.pairs:,} pairs two grades apart."
        )
    if report.breaks:
        questions = Counter(each.question for each in report.breaks)
        ((most, times),) = questions.most_common(1)
        sentences.append(f"Worst breaks: {len(report.breaks)} pairs, {times} of them by {most}.")
    return sentences


def ablation_table(ablation: Sequence[Ablation]) -> Table:
    """A row for each lever that was left out: what changes."""
    names = list(dict.fromkeys(name for each in ablation for name in each.minus_whole))
    rows = [
        (each.without, *(signed(each.minus_whole[name]) if name in each.minus_whole else DASH for name in names))
        for each in ablation
    ]
    return Table("Without a lever, minus the whole student", "", ("without", *names), tuple(rows))


def number(found: Interval) -> str:
    return f"{found:.3f}"


def signed(found: Interval) -> str:
    return f"{found:+.3f}"
