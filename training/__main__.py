"""`python -m training STEP RECIPE`: one step of a recipe, or `all` of them in order."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from transformers.utils import logging as transformers_logging

from models.errors import BundleError
from training.cookbook import STEPS, run_all
from training.data import DataError
from training.evaluate import FloorBroken
from training.fit import TrainingStopped
from training.graphs import ExportError
from training.recipes.registry import find
from training.steps import Run, StepError, run_step


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the step is done, 1 with one line on stderr when it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("step", choices=[*STEPS, "all"])
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder that steps write to")
    parser.add_argument(
        "--bundles", type=Path, default=None, help="where `export` puts the bundle (default: in the run)"
    )
    options = parser.parse_args(arguments)
    # Its report of a pooler that is not used, and a bar for weights that load in a moment, hide what matters here.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        recipe = find(options.recipe)
        bundles = options.bundles or options.runs / recipe.name / "bundles"
        run = Run(recipe, options.data, options.runs, bundles)
        if options.step == "all":
            run_all(run)
        else:
            run_step(STEPS[options.step], run)
    except (KeyError, StepError, DataError, TrainingStopped, FloorBroken, ExportError, BundleError) as error:
        print(f"{options.step} {options.recipe}: {error.args[0] if error.args else error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
