"""`python -m training.prompting RECIPE --model FOLDER`: prompting measured on the lists of teacher and student.

Run it again with more lists: those that have scores are not read again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from models.errors import BundleError
from training.data.source_files import SourceFiles
from training.errors import UserError
from training.evaluation.systems.bundles import bundle_system
from training.evaluation.systems.interface import Kind, System
from training.evaluation.systems.stored import stored_system
from training.prompting.measure import PromptingPlan, measure, prompting_markdown
from training.prompting.prompts import PROMPTS
from training.recipes import find_recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report: 0, or 1 with one sentence for a mistake that the user can correct."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    try:
        others = [_system("student", path, options.threads) for path in options.student]
        others += [_system("teacher", path, options.threads) for path in options.teacher]
        plan = PromptingPlan(options.model, options.lists, options.price, others)
        found = measure(find_recipe(options.recipe), SourceFiles(options.data), plan, options.out)
    except (UserError, BundleError) as error:
        print(f"prompting {options.recipe}: {error}", file=sys.stderr)
        return 1
    print(prompting_markdown(found))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.prompting", description=__doc__)
    parser.add_argument("recipe", choices=sorted(PROMPTS))
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder of a causal language model")
    parser.add_argument("--lists", type=int, help="how many lists (default: all)")
    parser.add_argument("--price", type=float, default=0.0, help="dollars for a million tokens read (default: 0)")
    parser.add_argument("--student", action="append", default=[], type=Path, help="a bundle, or .parquet of scores")
    parser.add_argument("--teacher", action="append", default=[], type=Path, help="the same, of a teacher")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources")
    parser.add_argument("--out", type=Path, required=True, help="folder for the report and the scores")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def _system(kind: Kind, path: Path, threads: int) -> System:
    if path.suffix == ".parquet":
        return stored_system(path, f"{kind} {path.stem}", kind)
    return bundle_system(path, path.name, kind, threads=threads)


if __name__ == "__main__":
    sys.exit(main())
