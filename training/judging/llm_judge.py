"""Step `judge`: a large model grades golden pairs by the policy, and its agreement with gold is the prompting baseline.

    grades.parquet  member_id | candidate_id | dimension | grade | reason | status | asks | model | policy
    judge.json      whether prompting was measured; status of the pairs, cost, agreement with gold per dimension

Without an endpoint nothing is graded, and the report says that prompting was not measured. A pair whose answers stay
malformed, or that the endpoint refuses, is recorded so; a pair that it failed on is asked again by the next run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Never

import polars as pl
from tqdm import tqdm

from training.errors import UserError
from training.evaluation.markdown_report import prompting
from training.judging.answer_cache import AnswerCache, BudgetSpent, Spending
from training.judging.golden_set import PAIR, read_golden
from training.judging.llm_client import Endpoint, EndpointFailed, EndpointRefused, LlmClient, RequestRefused
from training.metrics.kappa import agreement
from training.policy.policy import OVERALL, Policy
from training.policy.prompt import MalformedAnswer, Prompt, Verdict

Status = Literal["graded", "malformed", "refused", "over budget", "failed"]
# So many failures in a row, each after all its retries, and the endpoint counts as down.
DOWN_AFTER = 20


class JudgeStopped(UserError):
    """The endpoint did not answer for some pairs; the sentence says for how many and why. What came is kept."""


@dataclass(frozen=True)
class JudgePlan:
    """Whom to ask about how many golden pairs, and what it may cost.

    A pair is asked about at most `asks` times until an answer can be used. `budget` bounds all that the recipe's ledger
    will ever hold: raise it to go on.
    """

    endpoint: Endpoint | None = None
    pairs: int = 500
    asks: int = 3
    budget: Spending = field(default_factory=lambda: Spending(tokens=5_000_000, dollars=10.0))


@dataclass(frozen=True)
class TextPair:
    """A pair as the judge reads it."""

    member_id: str
    candidate_id: str
    member: str
    candidate: str


@dataclass(frozen=True)
class Judgement:
    """What became of one pair; `problem` says why there are no verdicts."""

    pair: TextPair
    status: Status
    asks: int
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    problem: str = ""


def judge(plan: JudgePlan, policy: Policy, golden: Path, ledger: Path, out: Path) -> None:
    """Grade golden pairs and write the report. Raises JudgeStopped, EndpointRefused, PolicyMismatch, DataError."""
    gold = read_golden(golden / "golden.parquet", policy)
    if plan.endpoint is None:
        _write_report(out, _not_measured(gold, policy))
        return
    with AnswerCache(ledger, plan.budget) as book:
        judgements = asyncio.run(judge_pairs(some_pairs(gold, plan.pairs), Prompt.of(policy), plan, book))
        spent = book.spent()
    failed = Counter(each.problem for each in judgements if each.status == "failed")
    if failed:
        why = ", ".join(f"{problem}: {count}" for problem, count in failed.most_common())
        raise JudgeStopped(
            f"the endpoint gave no answer for {failed.total()} of {len(judgements)} pairs ({why});"
            " what came is kept: run the step again"
        )
    grades = grade_table(judgements, policy, plan.endpoint.model)
    grades.write_parquet(out / "grades.parquet")
    counts = Counter(each.status for each in judgements)
    report = {
        "measured": counts["graded"] > 0,
        "why": "" if counts["graded"] else "no pair was graded",
        "policy": policy.stamp,
        "model": plan.endpoint.model,
        "pairs": {status: counts[status] for status in ("graded", "malformed", "refused", "over budget")},
        "spent": dataclasses.asdict(spent),
        "agreement": agreement_with_gold(grades, gold),
    }
    _write_report(out, report)


def some_pairs(gold: pl.DataFrame, count: int) -> list[TextPair]:
    """At most `count` pairs of the golden test split: the same ones every time, spread over members by a hash."""
    pairs = gold.filter(pl.col("split") == "test").select(*PAIR, "member", "candidate").unique(maintain_order=True)
    found = [TextPair(*row) for row in pairs.iter_rows()]
    return sorted(found, key=lambda p: hashlib.sha256(f"{p.member_id} {p.candidate_id}".encode()).digest())[:count]


async def judge_pairs(
    pairs: Sequence[TextPair], prompt: Prompt, plan: JudgePlan, ledger: AnswerCache
) -> list[Judgement]:
    """One judgement for each pair, in order; at most `concurrency` at a time. Raises EndpointRefused."""
    assert plan.endpoint is not None
    connection = LlmClient(plan.endpoint, ledger)
    waiting = iter(enumerate(pairs))
    done: dict[int, Judgement] = {}

    failures = 0

    async def work(bar: tqdm[Never]) -> None:
        nonlocal failures
        for index, pair in waiting:
            if failures >= DOWN_AFTER:
                done[index] = Judgement(pair, "failed", 0, problem="not asked, the endpoint is down")
                continue
            done[index] = await _judge_pair(pair, prompt, plan.asks, connection)
            failures = failures + 1 if done[index].status == "failed" else 0
            bar.update()

    try:
        with tqdm(total=len(pairs), desc="judge", mininterval=5) as bar:
            async with asyncio.TaskGroup() as group:
                for _ in range(plan.endpoint.concurrency):
                    group.create_task(work(bar))
    except* EndpointRefused as refused:
        raise refused.exceptions[0] from None
    finally:
        await connection.close()
    return [done[index] for index in range(len(pairs))]


async def _judge_pair(pair: TextPair, prompt: Prompt, asks: int, connection: LlmClient) -> Judgement:
    first = messages = prompt.messages(pair.member, pair.candidate)
    problem = ""
    for asked in range(1, asks + 1):
        try:
            answer = await connection.ask(messages)
        except BudgetSpent:
            return Judgement(pair, "over budget", asked - 1, problem=problem)
        except RequestRefused as error:
            return Judgement(pair, "refused", asked, problem=str(error))
        except EndpointFailed as error:
            return Judgement(pair, "failed", asked - 1, problem=str(error))
        try:
            if answer.content is None or answer.finish == "length":
                raise MalformedAnswer("cut off" if answer.finish == "length" else f"no content ({answer.finish})")
            return Judgement(pair, "graded", asked, prompt.read(answer.content))
        except MalformedAnswer as error:
            problem = str(error)
            messages = prompt.again(first, problem, asked)
    return Judgement(pair, "malformed", asks, problem=problem)


def grade_table(judgements: Sequence[Judgement], policy: Policy, model: str) -> pl.DataFrame:
    """A row for each pair and dimension, and one for the overall grade that follows by the policy's rule."""
    texts = (*PAIR, "dimension", "reason", "status")
    columns = (*PAIR, "dimension", "grade", "reason", "status", "asks")
    schema: dict[str, type[pl.DataType]] = {name: pl.String if name in texts else pl.Int64 for name in columns}
    rows = [row for judgement in judgements for row in _grade_rows(judgement, policy)]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.with_columns(pl.lit(model).alias("model"), pl.lit(policy.stamp).alias("policy"))


def _grade_rows(judgement: Judgement, policy: Policy) -> Iterator[tuple[str, str, str, int | None, str, str, int]]:
    pair, end = judgement.pair, (judgement.status, judgement.asks)
    grades = {name: verdict.grade for name, verdict in judgement.verdicts.items()}
    for name in policy.dimension_names:
        reason = judgement.verdicts[name].reason if name in judgement.verdicts else judgement.problem
        yield pair.member_id, pair.candidate_id, name, grades.get(name), reason, *end
    yield pair.member_id, pair.candidate_id, OVERALL, policy.overall(grades), judgement.problem, *end


def agreement_with_gold(grades: pl.DataFrame, gold: pl.DataFrame) -> list[dict[str, Any]]:
    """Per dimension that gold has: how far the judge agrees, or None where it graded no such pair."""
    both = gold.join(grades.drop_nulls("grade"), on=[*PAIR, "dimension"], suffix="_judge")
    found: list[dict[str, Any]] = []
    for dimension in gold["dimension"].unique(maintain_order=True):
        rows = both.filter(pl.col("dimension") == dimension)
        columns = (rows[name].to_list() for name in ("grade_judge", "grade", "member_id"))
        measured = dataclasses.asdict(agreement(*columns)) if rows.height else None
        found.append({"dimension": dimension, "agreement": measured})
    return found


def _not_measured(gold: pl.DataFrame, policy: Policy) -> dict[str, Any]:
    dimensions = gold["dimension"].unique(maintain_order=True)
    return {
        "measured": False,
        "why": "no endpoint was given (--judge-url and --judge-model)",
        "policy": policy.stamp,
        "model": None,
        "pairs": {},
        "spent": dataclasses.asdict(Spending(0, 0.0)),
        "agreement": [{"dimension": dimension, "agreement": None} for dimension in dimensions],
    }


def _write_report(out: Path, report: dict[str, Any]) -> None:
    (out / "judge.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "report.md").write_text(prompting(report), encoding="utf-8")
