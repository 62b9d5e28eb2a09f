"""Prompting on the lists of teacher and student: quality, pairs per CPU second, tokens and price, beside other systems.

prompting.json            the report below
prompting.md              the same for people
scores-METHOD.parquet     scores by list and place, as `training.evaluation.systems.stored` reads them
kept-METHOD.jsonl         what a run that was cut off goes on from
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from training.data.held_out import ALL
from training.data.source_files import SourceFiles
from training.evaluation.decision.lines import Line, View, line
from training.evaluation.decision.scoring import Scored, score_set
from training.evaluation.systems.baselines import bm25, chance
from training.evaluation.systems.interface import Cost, System
from training.evaluation.systems.stored import Stated
from training.files import write_json
from training.metrics.bootstrap import Interval
from training.policy.markdown import table
from training.policy.parser import read_policy
from training.policy.policy import OVERALL, Policy
from training.prompting.agreement import DimensionAgreement, of_two_runs, second_run_line, with_people
from training.prompting.causal_lm import CausalLm
from training.prompting.lists import MeasuredSet, human_judged, judged_twice, some_of
from training.prompting.prompts import PROMPTS
from training.prompting.systems import METHODS, Method, PromptedScores
from training.recipe import Recipe
from training.sources.held_out.judged import judged_jobs_set

UNDEFINED = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class PromptingPlan:
    """The small model's folder, how many lists (None: all), the price of a million tokens read, and other systems."""

    model: Path
    lists: int | None
    dollars_per_million_tokens: float
    others: Sequence[System] = ()


@dataclass(frozen=True)
class Row:
    """One system on one set. Paces and costs are None where they were not measured."""

    set: str
    system: str
    kind: str
    lists: int
    clusters: int
    pairs: int
    ndcg: Interval
    pairs_in_order: Interval
    pairs_per_cpu_second: float | None
    tokens_per_pair: float | None
    dollars_per_million_pairs: float | None


@dataclass(frozen=True)
class PromptingReport:
    """The content of `prompting.json`. The last three are the large judge's: with people, and two runs of it."""

    recipe: str
    policy: str
    model: str
    dollars_per_million_tokens: float
    rows: tuple[Row, ...]
    with_people: tuple[DimensionAgreement, ...] = ()
    of_two_runs: tuple[DimensionAgreement, ...] = ()
    second_run_ndcg: Line | None = None


@dataclass
class _Model:
    """Read from disk only when a list has no kept scores."""

    folder: Path

    @cached_property
    def read(self) -> CausalLm:
        return CausalLm(self.folder)


def measure(recipe: Recipe, data: SourceFiles, plan: PromptingPlan, out: Path) -> PromptingReport:
    """Score, measure and write. Raises DataError, or NoModel for a folder without a language model."""
    out.mkdir(parents=True, exist_ok=True)
    policy = read_policy(recipe.data.policy)
    report = (_products if recipe.name == "products" else _jobs)(recipe, policy, data, plan, out)
    write_json(out / "prompting.json", dataclasses.asdict(report))
    (out / "prompting.md").write_text(prompting_markdown(report), encoding="utf-8")
    return report


def _products(recipe: Recipe, policy: Policy, data: SourceFiles, plan: PromptingPlan, out: Path) -> PromptingReport:
    agreed, _ = with_people(human_judged(data, policy), policy)
    human = human_judged(data, policy, plan.lists)
    _, judge = with_people(human, policy)
    rows = (*_rows(recipe, human.lists, plan, out), _row(human.lists, judge))
    return _report(recipe, policy, plan, rows, with_people=(agreed,))


def _jobs(recipe: Recipe, policy: Policy, _: SourceFiles, plan: PromptingPlan, out: Path) -> PromptingReport:
    twice = judged_twice(policy)
    rows = _rows(recipe, some_of(judged_jobs_set(policy, "test"), plan.lists), plan, out)
    again = tuple(of_two_runs(twice, policy))
    return _report(recipe, policy, plan, rows, of_two_runs=again, second_run_ndcg=second_run_line(twice, policy))


def _report(
    recipe: Recipe, policy: Policy, plan: PromptingPlan, rows: tuple[Row, ...], **judge: object
) -> PromptingReport:
    found = PromptingReport(recipe.name, policy.stamp, plan.model.name, plan.dollars_per_million_tokens, rows)
    return dataclasses.replace(found, **judge)  # type: ignore[arg-type]


def _rows(recipe: Recipe, measured: MeasuredSet, plan: PromptingPlan, out: Path) -> tuple[Row, ...]:
    """Baselines, other systems, and both methods of prompting."""
    systems = [chance(), bm25(recipe.text.template), *plan.others]
    rows = [_row(measured, _timed(measured, each)) for each in systems]
    model = _Model(plan.model)
    return (*rows, *(_prompted_row(recipe, measured, plan, model, method, out) for method in METHODS))


def _timed(measured: MeasuredSet, system: System) -> Scored:
    """With pairs per CPU second, which a busy machine does not change."""
    started = time.process_time()
    (scored,) = score_set(measured.held_out, [system], None)[:1]
    pairs = sum(len(each.candidates) for each in measured.lists)
    return dataclasses.replace(scored, pairs_per_second=pairs / max(time.process_time() - started, 1e-9))


def _prompted_row(
    recipe: Recipe, measured: MeasuredSet, plan: PromptingPlan, model: _Model, method: Method, out: Path
) -> Row:
    """Scores of one method, written for the report too."""
    kept = out / f"kept-{method}.jsonl"
    prompted = PromptedScores(lambda: model.read, PROMPTS[recipe.name], recipe.text.template, method, kept)
    scores = prompted.score(measured.lists)[OVERALL]
    tokens, pace = prompted.cost(measured.lists)
    by_list = np.split(scores, np.cumsum([len(each.candidates) for each in measured.lists])[:-1])
    cost = Cost(tokens_per_pair=tokens, dollars_per_million_pairs=tokens * plan.dollars_per_million_tokens)
    _write_scores(out / f"scores-{method}.parquet", measured, scores, cost)
    name = f"{plan.model.name}, {method}"
    return _row(measured, Scored(name, "prompted", 1, False, {OVERALL: [each[None] for each in by_list]}, cost, pace))


def _write_scores(path: Path, measured: MeasuredSet, scores: np.ndarray, cost: Cost) -> None:
    """Scores under the held-out set's own names and places, and beside them that they are no probabilities."""
    keys = [
        (one.list_id, place) for one, places in zip(measured.lists, measured.places, strict=True) for place in places
    ]
    frame = pl.DataFrame(keys, schema={"list_id": pl.String, "place": pl.Int64}, orient="row")
    frame.with_columns(pl.Series(OVERALL, scores)).write_parquet(path)
    stated = Stated(False, cost.tokens_per_pair, cost.dollars_per_million_pairs)
    write_json(path.with_suffix(".json"), dataclasses.asdict(stated))


def _row(measured: MeasuredSet, scored: Scored) -> Row:
    view = View(measured.held_out, ALL, OVERALL)
    ndcg, order = line(view, scored, "ndcg@10"), line(view, scored, "pairs in order")
    lists, clusters, pairs = (0, 0, 0) if ndcg is None else (ndcg.lists, ndcg.clusters, ndcg.pairs)
    return Row(
        set=measured.held_out.name,
        system=scored.name,
        kind=scored.kind,
        lists=lists,
        clusters=clusters,
        pairs=pairs,
        ndcg=ndcg.found if ndcg else UNDEFINED,
        pairs_in_order=order.found if order else UNDEFINED,
        pairs_per_cpu_second=scored.pairs_per_second,
        tokens_per_pair=scored.cost.tokens_per_pair,
        dollars_per_million_pairs=scored.cost.dollars_per_million_pairs,
    )


def prompting_markdown(report: PromptingReport) -> str:
    """Quality, latency and price apart: no figure here weighs them against each other."""
    lines = [f"# Prompting, {report.recipe}\n", f"Policy {report.policy}.\n"]
    lines.append(
        f"Tokens cost {report.dollars_per_million_tokens:g} dollars a million (a parameter). Pairs/s are pairs per"
        " CPU second. NDCG@10 with gains 2^grade - 1; intervals are 95 %, over clusters.\n"
    )
    columns = ["system", "lists", "pairs", "NDCG@10", "pairs in order", "pairs/s", "tokens a pair", "$ / M pairs"]
    lines.append(table(columns, [_cells(row) for row in report.rows]))
    for title, agreed in (
        ("## The large judge and people\n", report.with_people),
        ("## Two runs of the large judge (one model family)\n", report.of_two_runs),
    ):
        if agreed:
            rows = [
                [each.dimension, str(each.found.pairs), f"{each.found.kappa:.2f}", f"{each.found.exact:.0%}",
                 f"{each.null_in_one:.0%}"]
                for each in agreed
            ]  # fmt: skip
            header = ["dimension", "pairs", "quadratic kappa", "same grade", "null in one alone"]
            lines += [title, table(header, rows)]
    if report.second_run_ndcg:
        found = report.second_run_ndcg
        lines.append(f"NDCG@10 of the second run by the first: {found.found:.3f}, {found.lists} lists.\n")
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    pace = "" if row.pairs_per_cpu_second is None else f"{row.pairs_per_cpu_second:.3g}"
    tokens = "" if row.tokens_per_pair is None else f"{row.tokens_per_pair:.0f}"
    dollars = "" if row.dollars_per_million_pairs is None else f"{row.dollars_per_million_pairs:.2f}"
    figures = [f"{row.ndcg:.3f}", f"{row.pairs_in_order:.3f}"]
    return [row.system, str(row.lists), str(row.pairs), *figures, pace, tokens, dollars]
