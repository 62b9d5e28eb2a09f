"""Step `judge`: a large model grades golden pairs by the policy; its agreement with gold is the prompting baseline.

    grades.parquet  member_id | candidate_id | dimension | grade | reason | status | asks | model | policy
    judge.json      whether prompting was measured; status of the pairs, cost, agreement with gold per dimension

Without an endpoint nothing is graded, and the report says that prompting was not measured.

`judge RECIPE --live-log AUDIT_FOLDER` grades a sample of what the service showed, and says the rate of poor matches.

`judge RECIPE --pool FILE` is no step: the model labels a pool of pairs, by an endpoint or by batch files, and goes on
where it stopped after any change, because its answers were paid for. Labels are written to RUNS/RECIPE/labels/POOL,
batch files to RUNS/RECIPE/shared/batches.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.bundle.files import MANIFEST, Bundle
from models.scorers.long_texts import score_texts
from training.files import write_json
from training.judging.answer_cache import AnswerCache, Spending
from training.judging.golden_set import read_golden
from training.judging.label_report import LabelReport, label_markdown
from training.judging.labels import BatchPlan, LabelPlan, label_pool
from training.judging.live_pairs import LivePlan, live_pairs, poor_matches
from training.judging.llm_client import Endpoint
from training.judging.llm_judge import (
    JudgePlan,
    TextPair,
    check_answered,
    grade_table,
    judge_pairs,
    judge_report,
    not_measured,
    some_pairs,
    write_judge_report,
)
from training.judging.pool import read_pool
from training.policy.parser import read_policy
from training.policy.policy import OVERALL, Policy
from training.policy.prompt import Prompt
from training.recipe import Recipe
from training.step_runner import Resources, Run, Step

LIVE = "live.parquet"
"""The pairs that were drawn from an audit log, in the run's shared folder."""
BATCH_PRICE = 0.5
"""Of the endpoint's price."""
OPENAI = "https://api.openai.com/v1"
"""The address that answers of batch files are kept under where no other is given."""


@dataclass(frozen=True)
class JudgeInputs:
    policy: Path
    golden: Path


def judge(plan: JudgePlan, inputs: JudgeInputs, out: Path, resources: Resources) -> None:
    """Grade golden pairs and write the report. Answers are kept outside the step's folder: they were paid for."""
    resources.shared.mkdir(exist_ok=True)
    policy = read_policy(inputs.policy / "policy.md")
    judge_golden(plan, policy, inputs.golden, resources.shared / "judge.sqlite", out)


def judge_golden(plan: JudgePlan, policy: Policy, golden: Path, answers_file: Path, out: Path) -> None:
    """Grade the pairs in the folder `golden` and write the report to `out`.

    Raises JudgeStopped, EndpointRefused, PolicyMismatch or DataError.
    """
    gold = read_golden(golden / "golden.parquet", policy)
    if plan.endpoint is None:
        write_judge_report(out, not_measured(gold, policy))
        return
    with AnswerCache(answers_file, plan.budget) as answers:
        judgements = asyncio.run(judge_pairs(some_pairs(gold, plan.pairs), Prompt.of(policy), plan, answers))
        spent = answers.spent()
    check_answered(judgements)
    grades = grade_table(judgements, policy, plan.endpoint.model)
    grades.write_parquet(out / "grades.parquet")
    write_judge_report(out, judge_report(judgements, grades, gold, policy, plan.endpoint.model, spent))


JUDGE = Step("judge", lambda recipe: recipe.data.judge, JudgeInputs, judge)


@dataclass(frozen=True)
class PoolOptions:
    """The pool, the plan without its batch folder, and the bundle that stratifies (None: the run's, if it is there).

    `live`: the pool is drawn from an audit log.
    """

    pool: Path
    plan: LabelPlan
    batch: bool
    answers: tuple[Path, ...]
    lost: bool
    bundle: Path | None
    live: LivePlan | None = None


def add_pool_options(parser: argparse.ArgumentParser) -> None:
    """The options of `judge --pool`, in a group of their own."""
    group = parser.add_argument_group("judge --pool", "labels for training; they never become golden grades")
    group.add_argument("--pool", type=Path, help="Parquet: member_id, candidate_id, and texts or fields of both sides")
    group.add_argument(
        "--live-log", type=Path, metavar="AUDIT_FOLDER", help="grade what the service really showed, instead of --pool"
    )
    group.add_argument("--audit-key", type=Path, metavar="FILE", help="the secret of that audit log")
    group.add_argument("--live-pairs", type=int, default=300, help="pairs to draw from it (default: 300)")
    group.add_argument("--live-shown", type=int, default=10, help="first candidates of a request (default: 10)")
    group.add_argument("--pool-pairs", type=int, default=1000, help="pairs to label, even over the model's scores")
    group.add_argument(
        "--stratify-by", type=Path, metavar="BUNDLE", help="the present model (default: the run's bundle)"
    )
    group.add_argument("--second-model", help="grades a sample again, with the dimensions in turned order")
    group.add_argument("--second-pairs", type=int, default=200, help="how many pairs it grades (default: 200)")
    group.add_argument(
        "--gold-pairs", type=int, default=300, help="golden validation pairs for the gate (default: 300)"
    )
    group.add_argument("--precedents", type=int, default=0, help="golden training grades a dimension in the prompt")
    group.add_argument("--batch", action="store_true", help="write request files of the Batch API; asks no endpoint")
    group.add_argument("--batch-in", nargs="+", type=Path, default=[], metavar="FILE", help="answers to read first")
    group.add_argument("--batch-lost", action="store_true", help="give up requests that --batch-in has no answer to")


def pool_options(options: argparse.Namespace) -> PoolOptions:
    """As they were given on the command line."""
    batch = options.batch or bool(options.batch_in)
    share = BATCH_PRICE if batch else 1.0
    prices = [share * price for price in options.judge_prices]
    endpoint = Endpoint(options.judge_url or OPENAI, options.judge_model, *prices)
    second = dataclasses.replace(endpoint, model=options.second_model) if options.second_model else None
    plan = LabelPlan(
        judge=with_budget(JudgePlan(endpoint), options),
        second=second,
        pairs=options.pool_pairs,
        gold_pairs=options.gold_pairs,
        second_pairs=options.second_pairs,
        precedents=options.precedents,
    )
    answers = tuple(options.batch_in)
    if options.live_log:
        live = LivePlan(options.live_log, options.audit_key, options.live_pairs, options.live_shown)
        plan = dataclasses.replace(plan, pairs=live.pairs)
        return PoolOptions(Path(LIVE), plan, batch, answers, options.batch_lost, None, live)
    return PoolOptions(options.pool, plan, batch, answers, options.batch_lost, options.stratify_by)


def with_budget(plan: JudgePlan, options: argparse.Namespace) -> JudgePlan:
    """The plan with the budget of the command line, if there is one."""
    if not options.judge_budget:
        return plan
    tokens, dollars = options.judge_budget
    return dataclasses.replace(plan, budget=Spending(int(tokens), dollars))


def judge_pool(run: Run, options: PoolOptions) -> str:
    """Label, and return the report. Raises UserError for a pool, a batch or an answer that cannot be used."""
    resources, recipe = run.resources(), run.recipe
    policy = read_policy(recipe.data.policy)
    resources.shared.mkdir(parents=True, exist_ok=True)
    if options.live:
        pool, scores = _live_pool(options.live, recipe, resources.shared / LIVE, again=not options.answers), None
    else:
        pool = read_pool(options.pool, recipe.text.template)
        bundle = options.bundle or (resources.bundle if (resources.bundle / MANIFEST).exists() else None)
        scores = present_scores(bundle, pool) if bundle else None
    folder = resources.shared / "batches"
    batch = BatchPlan(folder, options.answers, options.lost) if options.batch else None
    plan = dataclasses.replace(options.plan, batch=batch)
    out = run.folder("labels") / options.pool.stem
    gold = _gold(run, policy)
    report = label_pool(policy, pool, scores, gold, plan, resources.shared / "judge.sqlite", out)
    return label_markdown(report) + (_poor_matches(out, report) if options.live else "")


def _live_pool(plan: LivePlan, recipe: Recipe, path: Path, *, again: bool) -> list[TextPair]:
    """Pairs of the audit log, kept in `path` so that answers of batch files find them. Raises LiveLogError."""
    if again or not path.exists():
        pairs = live_pairs(plan, recipe.name, recipe.text.template)
        columns = dict.fromkeys(("member_id", "candidate_id", "member", "candidate"), pl.String)
        pl.DataFrame([dataclasses.astuple(each) for each in pairs], schema=columns, orient="row").write_parquet(path)
    return read_pool(path, recipe.text.template)


def _poor_matches(out: Path, report: LabelReport) -> str:
    """Write `live.json` and say it. Grades count whether or not their dimension passed its gate, which is said."""
    if report.waiting:
        return ""
    grades = [pl.read_parquet(out / name) for name in ("grades.parquet", "held_back.parquet")]
    found = poor_matches(pl.concat(grades))
    if found is None:
        return "\nPoor matches among what was shown: no pair has an overall grade.\n"
    trusted = any(each.dimension == OVERALL and each.passed for each in report.gates)
    write_json(out / "live.json", {**dataclasses.asdict(found), "judge_passed_its_gate": trusted})
    doubt = "" if trusted else " The judge's overall grade did not pass its gate: take the rate as a hint."
    return f"\n{found.sentence()}{doubt}\n"


def _gold(run: Run, policy: Policy) -> pl.DataFrame | None:
    """The golden set that step `golden` made; without it, every gate needs a second opinion."""
    path = run.folder("golden") / "golden.parquet"
    return read_golden(path, policy) if path.exists() else None


def present_scores(path: Path, pool: Sequence[TextPair]) -> np.ndarray:
    """The score of each pair by a bundle's first head, f64[pool] in [0, 1]. Raises BundleError."""
    from models.loading import open_encoder, open_scorer  # onnxruntime takes a second, which other commands spare

    bundle = Bundle.load(path)
    encoder, scorer = open_encoder(bundle), open_scorer(bundle, "cpu", 1)
    members = {text: encoder.member(text) for text in {pair.member for pair in pool}}
    found = []
    for start in range(0, len(pool), 256):
        some = pool[start : start + 256]
        candidates = encoder.read_candidates([pair.candidate for pair in some])
        rows = score_texts(scorer, bundle.manifest.best_chunk, [members[pair.member] for pair in some], candidates)
        found.append(rows[:, 0])
    return np.concatenate(found).astype(np.float64)
