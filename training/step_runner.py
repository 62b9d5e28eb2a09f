"""Steps: each reads folders and writes one, with a `step.json` that says from what it was made.

A step whose fingerprint (the parts of the recipe that it uses, its inputs' outputs, versions) did not change
is skipped. One that was cut off goes on in its folder; one whose inputs changed starts from an empty folder.
This file knows what a step is, not what any step does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import inspect
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.executors import LOCAL, Executor
from training.recipe import Recipe
from training.trainer.distributed import SINGLE_PROCESS, ProcessGroup

VERSIONED = ("torch", "transformers", "tokenizers", "onnxruntime", "onnxscript", "numpy", "polars")


class StepError(UserError):
    """A step that cannot run; the sentence says what is missing."""


@dataclass(frozen=True)
class Run:
    """Where one recipe's steps live: `data` holds the sources, `root` the outputs, `bundles` what ships. `engine` runs
    what can be shared, and `team` trains what can be trained together.
    """

    recipe: Recipe
    data: Path
    root: Path
    bundles: Path
    engine: Executor = LOCAL
    team: ProcessGroup = SINGLE_PROCESS

    def folder(self, step: str) -> Path:
        """The folder that a step writes."""
        return self.root / self.recipe.name / step

    @property
    def readings(self) -> Path:
        """Where steps share what a frozen encoder made of texts: it can be made again and belongs to none of them."""
        return self.root / self.recipe.name / "readings"


@dataclass(frozen=True)
class Step:
    """A named function from folders to a folder. `uses` names the recipe's fields, or parts of
    them (`plan.part`), that decide its outcome. What several processes may do `together`, they all call.
    """

    name: str
    reads: tuple[str, ...]
    uses: tuple[str, ...]
    work: Callable[[Run, Path], None]
    together: bool = False


def run_step(step: Step, run: Run) -> bool:
    """Do the step unless it is done; True when work was done. Raises StepError when an input step was not run."""
    if run.team.size > 1 and not step.together:
        raise StepError(f"step {step.name!r} is done by one process: start it without `accelerate launch`")
    folder = run.folder(step.name)
    inputs = {name: _outputs(run.folder(name)) for name in step.reads}
    wanted = fingerprint(step, run.recipe, inputs)
    record = _read_record(folder)
    if record.get("fingerprint") == wanted and record.get("outputs"):
        _say(f"{step.name}: unchanged, skipped")
        return False
    run.team.wait()  # all have read the record that is now replaced
    started = time.time()
    begun: dict[str, Any] = {"step": step.name, "recipe": run.recipe.name, "fingerprint": wanted, "inputs": inputs}
    if run.team.is_main:
        if record.get("fingerprint") != wanted and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _write_record(folder, begun)
    run.team.wait()
    step.work(run, folder)
    if run.team.is_main:
        _finish(step, run, folder, begun, started)
    run.team.wait()
    return True


def _finish(step: Step, run: Run, folder: Path, begun: dict[str, Any], started: float) -> None:
    outputs = {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*")) if _is_output(path)}
    seconds = round(time.time() - started, 1)
    _write_record(
        folder, {**begun, "seed": run.recipe.seed, "versions": _versions(), "seconds": seconds, "outputs": outputs}
    )
    _say(f"{step.name}: done in {seconds} s")


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


def fingerprint(step: Step, recipe: Recipe, inputs: dict[str, dict[str, str]]) -> str:
    """Digest of everything that decides a step's outcome, but for the source data itself, which step `data` reads."""
    used = {name: describe(_field(recipe, name)) for name in ("name", "seed", *step.uses)}
    material = json.dumps([step.name, used, inputs, _versions()], sort_keys=True)
    return hashlib.sha256(material.encode()).hexdigest()


def _field(recipe: Recipe, name: str) -> object:
    """`plan.part` is a part of a plan, None where the recipe has no such plan."""
    value: object = recipe
    for part in name.split("."):
        value = None if value is None else getattr(value, part)
    return value


def describe(value: object) -> object:
    """A recipe as JSON; a function is described by its source and a file by its content, so that a changed one is a
    changed recipe.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [describe(each) for each in value]
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, dict):
        return {str(key): describe(each) for key, each in value.items()}
    if isinstance(value, Path):
        return _sha256(value)
    if hasattr(value, "model_dump"):
        dumped: object = value.model_dump(mode="json")
        return dumped
    return inspect.getsource(value) if callable(value) else value


def _is_output(path: Path) -> bool:
    return path.is_file() and path.name not in {"step.json", "checkpoint.pt", "log.jsonl"}


def _outputs(folder: Path) -> dict[str, str]:
    outputs: dict[str, str] = _read_record(folder).get("outputs", {})
    if not outputs:
        raise StepError(
            f"step {folder.name!r} has not finished: run `python -m training {folder.name} {folder.parent.name}`"
        )
    return outputs


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "step.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    partial = folder / "step.json.partial"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / "step.json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in VERSIONED}
