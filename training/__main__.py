"""`python -m training STEP RECIPE`: one step of a recipe, or `all` of them in order.

`encode` is no step of `all`: it fills a store with the slots of a table of candidates, by the exported bundle.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from models.errors import BundleError, StoreError
from training.compression.onnx_export import ExportError
from training.dag import STEPS, run_all
from training.data.tables import DataError
from training.evaluation.promotion_gate import NotPromoted
from training.executors import LOCAL, Executor, ExecutorError, RayExecutor
from training.judging.llm_client import Endpoint, EndpointRefused
from training.judging.llm_judge import JudgeStopped
from training.policy.markdown import DocumentError
from training.policy.policy import PolicyMismatch
from training.recipe import Recipe
from training.recipes.registry import find
from training.step_runner import Run, StepError, run_step
from training.steps.bulk_encode import WHOLE, Shard, encode
from training.steps.evaluate import FloorBroken
from training.trainer.distributed import launched
from training.trainer.loop import TrainingStopped

# What a person can put right: told in one line, without a traceback.
FAILURES = (
    KeyError,
    StepError,
    DataError,
    DocumentError,
    EndpointRefused,
    JudgeStopped,
    PolicyMismatch,
    TrainingStopped,
    FloorBroken,
    NotPromoted,
    ExportError,
    BundleError,
    StoreError,
    ExecutorError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the step is done, 1 with one line on stderr when it cannot be."""
    options = _options(arguments)
    # Its report of a pooler that is not used, and a bar for weights that load in a moment, hide what matters here.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        recipe = _with_judge(find(options.recipe), options)
        bundles = options.bundles or options.runs / recipe.name / "bundles"
        run = Run(recipe, options.data, options.runs, bundles, _engine(options), launched())
        if options.step == "encode":
            _encode(run, options)
        elif options.step == "all":
            run_all(run)
        else:
            run_step(STEPS[options.step], run)
    except FAILURES as error:
        print(f"{options.step} {options.recipe}: {error.args[0] if error.args else error}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("step", choices=[*STEPS, "all", "encode"])
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder that steps write to")
    parser.add_argument(
        "--bundles", type=Path, default=None, help="where `export` puts the bundle (default: in the run)"
    )
    judging = parser.add_argument_group("judge", "without these, prompting is not measured")
    judging.add_argument("--judge-url", help="an OpenAI-compatible endpoint; its key is in OPENAI_API_KEY")
    judging.add_argument("--judge-model", help="what the endpoint calls the model")
    judging.add_argument(
        "--judge-prices",
        nargs=2,
        type=float,
        default=(0.0, 0.0),
        metavar=("IN", "OUT"),
        help="dollars for a million tokens read, and written (default: nothing)",
    )
    encoding = parser.add_argument_group("encode")
    encoding.add_argument("--candidates", type=Path, help="Parquet with id, and text or fields")
    encoding.add_argument("--store", type=Path, help="the FOLDER of the service's FITSCORE_STORE=lmdb:FOLDER")
    encoding.add_argument("--shard", type=_shard, default=WHOLE, help="K/N: the K-th of N that share the rows, from 0")
    running = parser.add_argument_group("engine", "where `annotate` and `encode` run")
    running.add_argument("--engine", choices=["local", "ray"], default="local")
    running.add_argument("--ray-address", metavar="HOST:PORT", help="the cluster's head (default: this machine alone)")
    running.add_argument("--threads", type=int, help="of one worker (default: torch's own, for `encode` 1)")
    running.add_argument("--gpus", type=float, default=0, help="of one Ray worker (default: 0)")
    options = parser.parse_args(arguments)
    if options.step == "encode" and not (options.candidates and options.store):
        parser.error("encode needs --candidates and --store")
    if options.engine != "ray" and (options.ray_address or options.gpus):
        parser.error("--ray-address and --gpus go with --engine ray")
    if bool(options.judge_url) != bool(options.judge_model):
        parser.error("--judge-url and --judge-model go together")
    return options


def _with_judge(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """Whom to ask is the run's choice and not the product's: the endpoint is no part of a recipe's file."""
    if not options.judge_url:
        return recipe
    endpoint = Endpoint(options.judge_url, options.judge_model, *options.judge_prices)
    return dataclasses.replace(recipe, judge=dataclasses.replace(recipe.judge, endpoint=endpoint))


def _engine(options: argparse.Namespace) -> Executor:
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.engine == "local":
        return LOCAL
    threads = (options.threads or 1) if options.step == "encode" else torch.get_num_threads()
    return RayExecutor(options.ray_address, threads, options.gpus)


def _encode(run: Run, options: argparse.Namespace) -> None:
    bundle = run.bundles / f"{run.recipe.name}-v{run.recipe.version}"
    threads, shard = options.threads or 1, options.shard
    done = encode(options.candidates, bundle, options.store, threads=threads, shard=shard, engine=run.engine)
    there = done.rows - done.encoded - done.empty
    print(f"encode: {done.rows} rows, {done.encoded} encoded, {there} there already, {done.empty} without a text")


def _shard(text: str) -> Shard:
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and int(number) < int(of)):
        raise argparse.ArgumentTypeError("K/N with K from 0 to N - 1")
    return Shard(int(number), int(of))


if __name__ == "__main__":
    sys.exit(main())
