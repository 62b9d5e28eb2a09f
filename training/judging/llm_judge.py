"""A large model grades golden pairs by the policy. Its agreement with gold is the prompting baseline.

A pair whose answers stay malformed, or that the endpoint refuses, is recorded as such. The next run asks again about a
pair on which the endpoint failed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Never

import polars as pl
from tqdm import tqdm

from training.errors import UserError
from training.files import write_json
from training.judging.answer_cache import Answer, AnswerCache, BudgetSpent, Spending
from training.judging.golden_set import PAIR
from training.judging.judge_report import DimensionAgreement, JudgeReport, judge_markdown
from training.judging.llm_client import (
    Asker,
    Endpoint,
    EndpointFailed,
    EndpointRefused,
    InBatch,
    LlmClient,
    RequestRefused,
)
from training.metrics.kappa import agreement
from training.policy.policy import OVERALL, Policy
from training.policy.prompt import MalformedAnswer, Prompt, Verdict
from training.policy.stamps import section_stamps

Status = Literal["graded", "malformed", "refused", "over budget", "failed", "in a batch"]
DOWN_AFTER = 20
"""Failures in a row, each after all its retries, after which the endpoint counts as down."""


class JudgeStopped(UserError):
    """The endpoint did not answer for some pairs; the message says for how many and why. All answers are kept."""


@dataclass(frozen=True)
class JudgePlan:
    """The endpoint to ask, the number of golden pairs, and the budget.

    Each pair is asked about at most `asks` times, until an answer can be used. `budget` bounds the total cost of the
    recipe's answer cache over all runs: raise it to continue.
    """

    endpoint: Endpoint | None = None
    pairs: int = 500
    asks: int = 3
    budget: Spending = field(default_factory=lambda: Spending(tokens=5_000_000, dollars=10.0))


@dataclass(frozen=True)
class TextPair:
    """A pair as the judge reads it, by its ids and texts."""

    member_id: str
    candidate_id: str
    member: str
    candidate: str


@dataclass(frozen=True)
class Judgement:
    """The outcome for one pair; `problem` says why there are no verdicts."""

    pair: TextPair
    status: Status
    asks: int
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    problem: str = ""


def check_answered(judgements: Sequence[Judgement]) -> None:
    """Raise JudgeStopped if the endpoint failed on any pair."""
    failed = Counter(each.problem for each in judgements if each.status == "failed")
    if failed:
        why = ", ".join(f"{problem}: {count}" for problem, count in failed.most_common())
        raise JudgeStopped(
            f"the endpoint gave no answer for {failed.total()} of {len(judgements)} pairs ({why});"
            " all answers are kept: run the step again"
        )


def some_pairs(gold: pl.DataFrame, count: int) -> list[TextPair]:
    """At most `count` pairs of the golden test split: always the same ones, spread over members by a hash."""
    pairs = gold.filter(pl.col("split") == "test").select(*PAIR, "member", "candidate").unique(maintain_order=True)
    found = [TextPair(*row) for row in pairs.iter_rows()]
    return sorted(found, key=lambda p: hashlib.sha256(f"{p.member_id} {p.candidate_id}".encode()).digest())[:count]


async def judge_pairs(
    pairs: Sequence[TextPair], prompt: Prompt, plan: JudgePlan, answers: AnswerCache
) -> list[Judgement]:
    """One judgement per pair, in order; at most `concurrency` requests at a time. Raises EndpointRefused."""
    assert plan.endpoint is not None
    client = LlmClient(plan.endpoint, answers)
    waiting = iter(enumerate(pairs))
    done: dict[int, Judgement] = {}
    recent: deque[Status] = deque(maxlen=DOWN_AFTER)

    async def work(bar: tqdm[Never]) -> None:
        for index, pair in waiting:
            if recent.count("failed") == DOWN_AFTER:
                done[index] = Judgement(pair, "failed", 0, problem="not asked, the endpoint is down")
                continue
            done[index] = await judge_pair(pair, prompt, plan.asks, client)
            recent.append(done[index].status)
            bar.update()

    try:
        with tqdm(total=len(pairs), desc="judge", mininterval=5) as bar:
            async with asyncio.TaskGroup() as group:
                for _ in range(plan.endpoint.concurrency):
                    group.create_task(work(bar))
    except* EndpointRefused as refused:
        raise refused.exceptions[0] from None
    finally:
        await client.close()
    return [done[index] for index in range(len(pairs))]


async def judge_pair(pair: TextPair, prompt: Prompt, asks: int, client: Asker) -> Judgement:
    """One pair's judgement: asked at most `asks` times, until an answer can be used. Raises EndpointRefused."""
    first = messages = prompt.messages(pair.member, pair.candidate)
    problem = ""
    for asked in range(1, asks + 1):
        try:
            answer = await client.ask(messages)
        except InBatch as waiting:
            return Judgement(pair, "in a batch", asked - 1, problem=str(waiting))
        except BudgetSpent:
            return Judgement(pair, "over budget", asked - 1, problem=problem)
        except RequestRefused as error:
            return Judgement(pair, "refused", asked, problem=str(error))
        except EndpointFailed as error:
            return Judgement(pair, "failed", asked - 1, problem=str(error))
        try:
            return Judgement(pair, "graded", asked, read_verdicts(answer, prompt))
        except MalformedAnswer as error:
            problem = str(error)
            messages = prompt.again(first, problem, asked)
    return Judgement(pair, "malformed", asks, problem=problem)


def read_verdicts(answer: Answer, prompt: Prompt) -> dict[str, Verdict]:
    """The verdicts of an answer. Raises MalformedAnswer."""
    if answer.content is None or answer.finish == "length":
        raise MalformedAnswer("cut off" if answer.finish == "length" else f"no content ({answer.finish})")
    return prompt.read(answer.content)


def grade_table(judgements: Sequence[Judgement], policy: Policy, model: str) -> pl.DataFrame:
    """A row per pair and dimension, and one for the overall grade by the policy's rule."""
    texts = (*PAIR, "dimension", "reason", "status")
    columns = (*PAIR, "dimension", "grade", "reason", "status", "asks")
    schema: dict[str, type[pl.DataType]] = {name: pl.String if name in texts else pl.Int64 for name in columns}
    rows = [row for judgement in judgements for row in _grade_rows(judgement, policy)]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    stamp = pl.col("dimension").replace_strict(section_stamps(policy)).alias("policy")
    return table.with_columns(pl.lit(model).alias("model"), stamp)


def _grade_rows(judgement: Judgement, policy: Policy) -> Iterator[tuple[str, str, str, int | None, str, str, int]]:
    pair, end = judgement.pair, (judgement.status, judgement.asks)
    grades = {name: verdict.grade for name, verdict in judgement.verdicts.items()}
    for name in policy.dimension_names:
        reason = judgement.verdicts[name].reason if name in judgement.verdicts else judgement.problem
        yield pair.member_id, pair.candidate_id, name, grades.get(name), reason, *end
    yield pair.member_id, pair.candidate_id, OVERALL, policy.overall(grades), judgement.problem, *end


def judge_report(
    judgements: Sequence[Judgement],
    grades: pl.DataFrame,
    gold: pl.DataFrame,
    policy: Policy,
    model: str,
    spent: Spending,
) -> JudgeReport:
    """Counts of pairs by status, cost, and agreement of `grades` with gold."""
    counts = Counter(each.status for each in judgements)
    return JudgeReport(
        measured=counts["graded"] > 0,
        why="" if counts["graded"] else "no pair was graded",
        policy=policy.stamp,
        model=model,
        pairs={status: counts[status] for status in ("graded", "malformed", "refused", "over budget")},
        spent=spent,
        agreement=list(_agreement_with_gold(grades, gold)),
    )


def not_measured(gold: pl.DataFrame, policy: Policy) -> JudgeReport:
    """The report of a run without an endpoint."""
    dimensions = gold["dimension"].unique(maintain_order=True)
    return JudgeReport(
        measured=False,
        why="no endpoint was given (--judge-url and --judge-model)",
        policy=policy.stamp,
        model=None,
        pairs={},
        spent=Spending(0, 0.0),
        agreement=[DimensionAgreement(dimension, None) for dimension in dimensions],
    )


def write_judge_report(out: Path, report: JudgeReport) -> None:
    """Write `judge.json` and `report.md`."""
    write_json(out / "judge.json", dataclasses.asdict(report))
    (out / "report.md").write_text(judge_markdown(report), encoding="utf-8")


def _agreement_with_gold(grades: pl.DataFrame, gold: pl.DataFrame) -> Iterator[DimensionAgreement]:
    """One per dimension of gold."""
    both = gold.join(grades.drop_nulls("grade"), on=[*PAIR, "dimension"], suffix="_judge")
    for dimension in gold["dimension"].unique(maintain_order=True):
        rows = both.filter(pl.col("dimension") == dimension)
        columns = (rows[name].to_list() for name in ("grade_judge", "grade", "member_id"))
        yield DimensionAgreement(dimension, agreement(*columns) if rows.height else None)
