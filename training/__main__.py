"""`python -m training STEP RECIPE`: one step of a recipe, or `all` of them in order.

RECIPE is a name of `training.recipes`, the folder of a product that `new` made, or a Python file by `--recipe`.
`new NAME`, `check NAME`, `status NAME` and `pool NAME` make and inspect a product of your own files: see `new --help`.
`promote NAME --to URL` rolls its bundle out on a running service. `counterfactual NAME`, `positions NAME` and
`interleaving NAME` read its log; `samples` says how much data a decision takes.

`python -m training policy lint RECIPE` (or a policy's Markdown file) runs the policy's rule over all combinations of
grades: exit code 1 for a fault of the rule.

`judge RECIPE --pool FILE` labels a pool of pairs, by an endpoint or by batch files.

`encode`, `label` and `report` are not part of `all`. `encode` encodes a table of candidates with the exported bundle,
and fills a store. `label` scores pairs with the policy teacher ahead of `annotate`, which scores none again. `report`
compares systems on held-out sets and says whether the student ships.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.bulk.executors import LOCAL, Executor, RayExecutor
from models.errors import BundleError, StoreError
from training.dag import STEPS, load_step, run_all
from training.errors import UserError, surroundings
from training.evaluation.decision.options import add_report_options, report_options
from training.judging.llm_client import Endpoint
from training.policy.lint import lint, lint_markdown
from training.policy.parser import read_policy
from training.product.check.run import refuse_errors
from training.product.command import WORDS
from training.product.live import pin
from training.product.run import is_product, load_recipe_file, product_run
from training.product.settings import read_settings
from training.recipe import Recipe
from training.recipes import find_recipe
from training.step_runner import Run, StepError, run_step
from training.steps.judge import add_pool_options, judge_pool, pool_options, with_budget
from training.tracking.tracker import ENDS, check_ends

if TYPE_CHECKING:
    from training.trainer.distributed import ProcessGroup


LATE_WORDS = {
    "promote": "training.promotion.command:promote",
    **{
        name: f"training.counterfactual.command:{name}"
        for name in ("counterfactual", "positions", "interleaving", "samples")
    },
}
"""Further words about a product, with arguments of their own. Imported when they are called: they import torch."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the step is done, 1 with one sentence on stderr for a mistake that the user can correct."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:2] == ["policy", "lint"]:
        return _lint(words[2:])
    # Before transformers is imported: its notes on unused weights and its bars hide what matters here.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    called = " ".join(words[:2])
    try:
        if words and words[0] in WORDS:
            return WORDS[words[0]](words[1:])
        if words and words[0] in LATE_WORDS:
            return int(pkgutil.resolve_name(LATE_WORDS[words[0]])(words[1:]))
        _run(_options(words))
    except (UserError, BundleError, StoreError) as error:
        print(f"{called}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{called}: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except Exception as error:
        if (sentence := surroundings(error)) is None:
            raise
        print(f"{called}: {sentence}", file=sys.stderr)
        return 1
    return 0


def _lint(words: Sequence[str]) -> int:
    """Print what the rule of a policy does: 0, or 1 for a fault or a document that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m training policy lint")
    parser.add_argument("policy", metavar="RECIPE|FILE.md")
    name: str = parser.parse_args(words).policy
    try:
        report = lint(read_policy(Path(name) if name.endswith(".md") else find_recipe(name).data.policy))
    except UserError as error:
        print(f"policy lint {name}: {error}", file=sys.stderr)
        return 1
    print(lint_markdown(report))
    return 1 if report.faults else 0


def _run(options: argparse.Namespace) -> None:
    run = _find_run(options)
    ends = tuple(dict.fromkeys(options.track))
    check_ends(ends)
    run = dataclasses.replace(run, recipe=_with_teacher(run.recipe, options), ends=ends)
    accepted = dict(options.accept)
    unknown = accepted.keys() - ({*STEPS} if options.step == "all" else {options.step})
    if unknown:
        raise StepError(f"--accept names {', '.join(sorted(unknown))}, which is no step of this run")
    if options.step == "encode":
        _encode(run, options)
    elif options.step == "label":
        from training.steps.annotate import label

        print(f"label: {label(run, options.pairs, options.labels)}")
    elif options.step == "report":
        _report(run, options)
    elif options.step == "judge" and (options.pool or options.live_log):
        print(judge_pool(run, pool_options(options)), end="")
    elif options.step == "all":
        run_all(run, accepted)
    else:
        run_step(load_step(options.step), run, accepted.get(options.step, ""))


def _find_run(options: argparse.Namespace) -> Run:
    """Where the recipe's files are: a product's are in its own folder. Raises UserError."""
    executor, processes = _executor(options), _processes()
    if options.recipe_file:
        recipe = _with_judge(load_recipe_file(options.recipe_file), options)
    elif is_product(Path(options.recipe)):
        if options.step == "all":
            refuse_errors(Path(options.recipe))
            pin(Path(options.recipe), read_settings(Path(options.recipe)))
        run = product_run(Path(options.recipe))
        return dataclasses.replace(run, recipe=_with_judge(run.recipe, options), executor=executor, processes=processes)
    else:
        recipe = _with_judge(find_recipe(options.recipe), options)
    bundles = options.bundles or options.runs / recipe.name / "bundles"
    return Run(recipe, options.data, options.runs, bundles, executor, processes)


def _processes() -> ProcessGroup | None:
    """The processes of `accelerate launch`; None for one process, which need not import torch for this."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from training.trainer.distributed import launched

    return launched()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=[*STEPS, "all", "encode", "label", "report"])
    parser.add_argument("recipe", nargs="?", help="a recipe's name, or the folder of a product")
    parser.add_argument("--recipe", type=Path, dest="recipe_file", metavar="FILE.py", help="its function `recipe()`")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder that steps write to")
    parser.add_argument(
        "--bundles", type=Path, default=None, help="where `export` puts the bundle (default: in the run)"
    )
    parser.add_argument(
        "--accept",
        nargs=2,
        action="append",
        default=[],
        metavar=("STEP", "REASON"),
        help="keep a step's result although its plan, code or inputs changed; the bundle's manifest records the reason",
    )
    judging = parser.add_argument_group("judge", "without these options, prompting is not measured")
    judging.add_argument("--judge-url", help="an OpenAI-compatible endpoint; its key is in OPENAI_API_KEY")
    judging.add_argument("--judge-model", help="the model's name at the endpoint")
    judging.add_argument(
        "--judge-prices",
        nargs=2,
        type=float,
        default=(0.0, 0.0),
        metavar=("IN", "OUT"),
        help="dollars for a million tokens read, and written (default: 0)",
    )
    judging.add_argument(
        "--judge-budget", nargs=2, type=float, metavar=("TOKENS", "DOLLARS"), help="of the recipe, over all runs"
    )
    add_pool_options(parser)
    encoding = parser.add_argument_group("encode")
    encoding.add_argument("--candidates", type=Path, help="Parquet with id, and text or fields")
    encoding.add_argument("--store", type=Path, help="the FOLDER of the service's FITSCORE_STORE=lmdb:FOLDER")
    encoding.add_argument("--shard", type=_shard, default=(0, 1), help="K/N: the K-th of N shards of the rows, from 0")
    parser.add_argument(
        "--teacher-weights",
        type=Path,
        help="a trained policy teacher for `teach` and `label`: a folder that `teach` wrote",
    )
    labelling = parser.add_argument_group("label")
    labelling.add_argument(
        "--pairs", type=Path, help="Parquet with member and candidate (default: those of `annotate`)"
    )
    labelling.add_argument("--labels", type=Path, help="where labels are kept (default: where `annotate` finds them)")
    add_report_options(parser)
    running = parser.add_argument_group("engine", "where `annotate` and `encode` run")
    running.add_argument("--engine", choices=["local", "ray"], default="local")
    running.add_argument("--ray-address", metavar="HOST:PORT", help="the cluster's head (default: this machine)")
    running.add_argument("--threads", type=int, help="of one worker (default: as torch chooses; for `encode` 1)")
    running.add_argument(
        "--track", choices=ENDS, action="append", default=[], help="learning curves there too, besides log.jsonl"
    )
    running.add_argument("--gpus", type=float, default=0, help="of one Ray worker (default: 0)")
    options = parser.parse_args(arguments)
    if bool(options.recipe) == bool(options.recipe_file):
        parser.error("name one recipe, a product's folder, or --recipe FILE.py")
    if options.step == "encode" and not (options.candidates and options.store):
        parser.error("encode needs --candidates and --store")
    if options.engine != "ray" and (options.ray_address or options.gpus):
        parser.error("--ray-address and --gpus go with --engine ray")
    is_labelling = bool(options.pool or options.live_log)
    if bool(options.judge_url) != bool(options.judge_model) and not (is_labelling and options.judge_model):
        parser.error("--judge-url and --judge-model go together; batch files need --judge-model alone")
    if options.live_log and (options.pool or not options.audit_key):
        parser.error("--live-log goes without --pool, and needs --audit-key")
    if is_labelling and not (options.judge_url or options.batch or options.batch_in):
        parser.error("--pool and --live-log need --judge-url, or --batch")
    if is_labelling and (options.step != "judge" or not options.judge_model):
        parser.error("--pool and --live-log go with the step judge, and need --judge-model")
    return options


def _with_judge(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """The endpoint is the run's choice, not the product's, and no part of a recipe's file."""
    if not options.judge_url:
        return recipe
    endpoint = Endpoint(options.judge_url, options.judge_model, *options.judge_prices)
    judge = with_budget(dataclasses.replace(recipe.data.judge, endpoint=endpoint), options)
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, judge=judge))


def _with_teacher(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """Weights that were trained elsewhere are the run's choice too."""
    if not options.teacher_weights:
        return recipe
    from training.nets.checkpoints import is_policy_teacher  # it imports torch

    if not is_policy_teacher(options.teacher_weights):
        raise StepError(f"--teacher-weights: {options.teacher_weights} is no folder that `teach` wrote")
    return dataclasses.replace(recipe, teacher=dataclasses.replace(recipe.teacher, trained=options.teacher_weights))


def _executor(options: argparse.Namespace) -> Executor:
    if options.engine == "local" and not options.threads:
        return LOCAL
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.engine == "local":
        return LOCAL
    threads = (options.threads or 1) if options.step == "encode" else torch.get_num_threads()
    return RayExecutor(options.ray_address, threads, options.gpus)


def _encode(run: Run, options: argparse.Namespace) -> None:
    from training.steps.bulk_encode import Shard, bulk_encode

    bundle = run.resources().bundle
    threads, shard = options.threads or 1, Shard(*options.shard)
    done = bulk_encode(options.candidates, bundle, options.store, threads=threads, shard=shard, executor=run.executor)
    known = done.rows - done.encoded - done.empty
    print(f"encode: {done.rows} rows, {done.encoded} encoded, {known} already stored, {done.empty} without a text")


def _report(run: Run, options: argparse.Namespace) -> None:
    from training.evaluation.decision.command import report

    chosen = report_options(options, run.recipe.name)
    found = report(run.recipe, run.data, run.resources().shared, chosen)
    print(f"{found.verdict.sentence}\n{chosen.out / 'decision.html'}")


def _shard(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and int(number) < int(of)):
        raise argparse.ArgumentTypeError("K/N with K from 0 to N - 1")
    return int(number), int(of)


if __name__ == "__main__":
    sys.exit(main())
