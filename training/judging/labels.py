"""The judge labels a pool: drawn pairs, golden pairs and a second opinion are graded, and gates decide what is used.

    grades.parquet       member_id | candidate_id | dimension | grade | reason | model | policy: dimensions that passed
    held_back.parquet    the same for dimensions that did not pass their gate
    pairs.parquet        member_id | candidate_id | member | candidate
    disagreements.csv    judge and people, judge and second opinion, with reasons: input for the next policy edit
    labels.json          what was asked, drawn and spent, and the gates; `report.md` for people

Labels are for training. They never become golden grades, which are what people say.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from training.errors import UserError
from training.files import write_json
from training.judging.answer_cache import AnswerCache
from training.judging.batch_files import BatchFiles, asks, read_batch
from training.judging.gate import Gate, Thresholds, disagreements, gates
from training.judging.golden_samples import golden_pairs, order_of, precedents
from training.judging.golden_set import PAIR
from training.judging.label_report import LabelReport, label_markdown
from training.judging.llm_client import Endpoint, EndpointRefused
from training.judging.llm_judge import (
    Judgement,
    JudgePlan,
    TextPair,
    check_answered,
    grade_table,
    judge_pair,
    judge_pairs,
    read_verdicts,
)
from training.judging.pool import Drawn, draw
from training.policy.policy import Policy
from training.policy.prompt import Precedent, Prompt

COLUMNS = (*PAIR, "dimension", "grade", "reason", "model", "policy")


@dataclass(frozen=True)
class BatchPlan:
    """Batch files in place of the endpoint: request files go to `folder`, and `answers` are read first.

    `lost` gives up the requests of their batches that have no answer, so that they are asked again.
    """

    folder: Path
    answers: Sequence[Path] = ()
    lost: bool = False


@dataclass(frozen=True)
class LabelPlan:
    """What to label, and by which model. `pairs` of the pool, `gold_pairs` of the golden validation split."""

    judge: JudgePlan
    second: Endpoint | None = None
    """Grades `second_pairs` of the drawn pairs again, with the dimensions in turned order. None: no second opinion."""
    pairs: int = 1000
    gold_pairs: int = 300
    second_pairs: int = 200
    precedents: int = 0
    """Golden training grades of each dimension that the prompt shows."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    batch: BatchPlan | None = None


class NoIndependentOpinion(UserError):
    """A second opinion that would be the first one again."""


def label_pool(
    policy: Policy,
    pool: Sequence[TextPair],
    scores: np.ndarray | None,
    gold: pl.DataFrame | None,
    plan: LabelPlan,
    cache: Path,
    out: Path,
) -> LabelReport:
    """Label and write; nothing but `labels.json` while batches wait. `scores` f64[pool] are the present model's.

    Raises BadBatch, EndpointRefused, JudgeStopped, NoIndependentOpinion. All answers are kept in `cache`.
    """
    if plan.judge.endpoint is None:
        raise EndpointRefused("there is no model to ask: give --judge-model")
    asked = _Asked.of(policy, pool, scores, gold, plan)
    with AnswerCache(cache, plan.judge.budget) as answers:
        judged = _batched(asked, plan, answers) if plan.batch else _at_once(asked, plan, answers)
        spent = answers.spent()
    out.mkdir(parents=True, exist_ok=True)
    waiting = sorted({each.problem for each in judged.all if each.status == "in a batch"})
    found = [] if waiting else _write(judged, policy, gold, plan, out)
    counts = Counter[str](each.status for each in judged.drawn)
    second = plan.second.model if plan.second else None
    model, drawn = plan.judge.endpoint.model, asked.drawn
    report = LabelReport(
        policy.stamp,
        model,
        second,
        len(asked.precedents),
        drawn.in_pool,
        drawn.drawn,
        dict(counts),
        spent,
        found,
        waiting,
    )
    write_json(out / "labels.json", dataclasses.asdict(report))
    (out / "report.md").write_text(label_markdown(report), encoding="utf-8")
    return report


@dataclass(frozen=True)
class _Asked:
    """Pairs and prompts of one run: they follow from pool, golden set and plan, so that the next run asks the same."""

    drawn: Drawn
    golden: list[TextPair]
    again: list[TextPair]
    prompt: Prompt
    second_prompt: Prompt
    precedents: list[Precedent]

    @classmethod
    def of(
        cls,
        policy: Policy,
        pool: Sequence[TextPair],
        scores: np.ndarray | None,
        gold: pl.DataFrame | None,
        plan: LabelPlan,
    ) -> _Asked:
        drawn = draw(pool, scores, plan.pairs)
        shown = precedents(gold, plan.precedents) if gold is not None else []
        golden = golden_pairs(gold, plan.gold_pairs) if gold is not None else []
        prompt = Prompt.of(policy, shown)
        turned = Prompt.of(replace(policy, dimensions=policy.dimensions[::-1]), shown)
        if plan.second and plan.second == plan.judge.endpoint and turned.system == prompt.system:
            raise NoIndependentOpinion("one dimension cannot be asked in another order: give --second-model")
        again = sorted(drawn.pairs, key=order_of)[: plan.second_pairs] if plan.second else []
        return cls(drawn, golden, again, prompt, turned, shown)


@dataclass(frozen=True)
class _Judged:
    drawn: list[Judgement]
    golden: list[Judgement]
    again: list[Judgement]

    @property
    def all(self) -> list[Judgement]:
        return [*self.drawn, *self.golden, *self.again]


def _at_once(asked: _Asked, plan: LabelPlan, answers: AnswerCache) -> _Judged:
    """By the endpoint. Gold first: a budget that ends early leaves labels without a gate otherwise."""

    def judged(pairs: list[TextPair], prompt: Prompt, judge: JudgePlan) -> list[Judgement]:
        found = asyncio.run(judge_pairs(pairs, prompt, judge, answers)) if pairs else []
        check_answered(found)
        return found

    golden = judged(asked.golden, asked.prompt, plan.judge)
    again = judged(asked.again, asked.second_prompt, replace(plan.judge, endpoint=plan.second))
    return _Judged(judged(asked.drawn.pairs, asked.prompt, plan.judge), golden, again)


def _batched(asked: _Asked, plan: LabelPlan, answers: AnswerCache) -> _Judged:
    """By batch files: reads the answers that came, then writes requests that no file holds."""
    assert plan.batch is not None
    assert plan.judge.endpoint is not None
    endpoints = [plan.judge.endpoint, *([plan.second] if plan.second else [])]
    for path in plan.batch.answers:
        check = lambda answer: read_verdicts(answer, asked.prompt)  # noqa: E731
        read_batch(path, endpoints, answers, plan.batch.folder, check, lost=plan.batch.lost)
    first = BatchFiles(plan.judge.endpoint, answers, plan.batch.folder)
    is_other = plan.second is not None and asks(plan.second) != asks(plan.judge.endpoint)
    second = BatchFiles(plan.second, answers, plan.batch.folder) if plan.second and is_other else first
    with answers.at_once():  # either all requests are in files and recorded, or the next run puts them there
        golden = _judged_by(first, asked.golden, asked.prompt, plan)
        again = _judged_by(second, asked.again, asked.second_prompt, plan)
        drawn = _judged_by(first, asked.drawn.pairs, asked.prompt, plan)
    for files in (first, second):
        files.close()
    return _Judged(drawn, golden, again)


def _judged_by(files: BatchFiles, pairs: Sequence[TextPair], prompt: Prompt, plan: LabelPlan) -> list[Judgement]:
    async def judged() -> list[Judgement]:
        return [await judge_pair(pair, prompt, plan.judge.asks, files) for pair in pairs]

    return asyncio.run(judged())


def _write(judged: _Judged, policy: Policy, gold: pl.DataFrame | None, plan: LabelPlan, out: Path) -> list[Gate]:
    """Grades by gate, pairs and disagreements."""
    assert plan.judge.endpoint is not None
    model = plan.judge.endpoint.model
    drawn = _grades(judged.drawn, policy, model)
    own = pl.concat([drawn, _grades(judged.golden, policy, model)]).unique([*PAIR, "dimension"], maintain_order=True)
    people = own.clear() if gold is None else gold.with_columns(pl.col("how").alias("reason"))
    second = _grades(judged.again, policy, plan.second.model if plan.second else "")
    found = gates(policy, own, people.filter(pl.col("grade").is_not_null()), second, plan.thresholds)
    passed = pl.col("dimension").is_in([each.dimension for each in found if each.passed])
    drawn.filter(passed).write_parquet(out / "grades.parquet")
    drawn.filter(~passed).write_parquet(out / "held_back.parquet")
    graded = [dataclasses.astuple(each.pair) for each in judged.drawn if each.status == "graded"]
    columns = dict.fromkeys((*PAIR, "member", "candidate"), pl.String)
    pl.DataFrame(graded, schema=columns, orient="row").write_parquet(out / "pairs.parquet")
    disagreements(own, {"people": people, "second opinion": second}).write_csv(out / "disagreements.csv")
    return found


def _grades(judgements: Sequence[Judgement], policy: Policy, model: str) -> pl.DataFrame:
    """Rows of pairs that were graded."""
    graded = [each for each in judgements if each.status == "graded"]
    return grade_table(graded, policy, model).select(COLUMNS)
