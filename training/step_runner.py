"""Steps: each reads folders and writes one, with a `step.json` that records what its output was made from.

A step is skipped when nothing changed that can decide its output: its plan, the code that it reaches, the bytes of its
inputs and of the source files that it read, its own output, and the versions of libraries. A step that was cut off
resumes in its folder; a step with a change starts from an empty one. If it refuses its inputs before it has written
anything, the earlier results come back. Knows what a step is, not what any step does.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from models.bulk.executors import LOCAL, Executor
from training.data.source_files import SourceFiles
from training.errors import UserError
from training.files import digest, read_json, write_json
from training.fingerprint import code_digest, describe, hash_json
from training.recipe import Recipe
from training.tracking.tracker import End, Tracking, tracking

if TYPE_CHECKING:  # it imports torch, which no step of one process needs before it starts
    from training.trainer.distributed import ProcessGroup

VERSIONED = ("torch", "transformers", "tokenizers", "onnxruntime", "onnxscript", "numpy", "polars")
NO_OUTPUT = {"step.json", "checkpoint.pt", "log.jsonl", "mlflow.txt"}
Plan = TypeVar("Plan")
Inputs = TypeVar("Inputs")


class StepError(UserError):
    """A step that cannot run; the sentence says what is missing."""


@dataclass(frozen=True)
class Resources:
    """What a step uses besides its plan and its inputs.

    What `sources` hand out is recorded. Nothing else here decides an output, except that `evaluate` compares with the
    bundle that is live when it runs: `export` replaces that, so it cannot count as an input.
    """

    sources: SourceFiles
    """The source data, for the recipe's adapters."""
    shared: Path
    """Folder for what belongs to no step: caches, and the answers of a judge that were paid for."""
    bundle: Path
    """The bundle that `export` writes; the live one until then."""
    executor: Executor
    """Runs what many workers can share."""
    processes: ProcessGroup | None
    """The processes that train together; None where there is one."""
    live: Path | None = None
    """The live bundle, where it is known; None: the newest beside `bundle`."""

    @property
    def embeddings(self) -> Path:
        """Folder of texts that a frozen encoder read, for all steps."""
        return self.shared / "embeddings"

    def model(self, find: Callable[[SourceFiles, Path], str]) -> str:
        """The Hugging Face folder or name that a plan's function finds, or makes in a folder for its code's version.

        What it makes must follow from its code alone; source files that it hands on are recorded. The main process
        makes it before the others look for it.
        """
        if self.processes and not self.processes.is_main:
            self.processes.wait()
        found = find(self.sources, self.shared / "models" / hash_json(describe(find))[:16])
        if self.processes and self.processes.is_main:
            self.processes.wait()
        return found


@dataclass(frozen=True)
class Step(Generic[Plan, Inputs]):
    """A named function: its part of the recipe, its input folders and an output folder in, files out.

    Each field of the `inputs` dataclass is a folder and has the name of the step that wrote it, `_` for `-`.
    """

    name: str
    plan: Callable[[Recipe], Plan]
    inputs: type[Inputs]
    work: Callable[[Plan, Inputs, Path, Resources], None]
    together: bool = False
    """Whether all processes of a launch call it."""
    reads_records: bool = False
    """Whether it reads the records of its inputs too: how they were made, and what was accepted."""
    stamped: tuple[str, ...] = ()
    """Inputs that its output carries the stamp of, for later steps to check. A change of one does not undo a finished
    result: a person decides whether it still holds, or is made again.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(field.name.replace("_", "-") for field in dataclasses.fields(self.inputs))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Run:
    """Where one recipe's steps are: `data` holds the sources, `root` the outputs, `bundles` what ships.

    `bundle` names the folder that ships where it is not one of `bundles`; `called` is the recipe's word in commands;
    `live` is the bundle that the next one is compared with. `ends` take learning curves besides files.
    """

    recipe: Recipe
    data: Path
    root: Path
    bundles: Path
    executor: Executor = LOCAL
    processes: ProcessGroup | None = None
    bundle: Path | None = None
    called: str = ""
    live: Path | None = None
    ends: tuple[End, ...] = ()

    def folder(self, step: str) -> Path:
        return self.root / self.recipe.name / step

    def inputs_of(self, step: Step[Any, Inputs]) -> Inputs:
        return step.inputs(**{name.replace("-", "_"): self.folder(name) for name in step.reads})

    def resources(self, on_read: Callable[[str, str], None] = lambda name, found: None) -> Resources:
        """What steps use; `on_read` gets name and digest of each source file that is handed out."""
        bundle = self.bundle or self.bundles / f"{self.recipe.name}-v{self.recipe.version}"
        sources = SourceFiles(self.data, on_read)
        shared = self.root / self.recipe.name / "shared"
        return Resources(sources, shared, bundle, self.executor, self.processes, self.live)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.processes is None or self.processes.is_main

    def wait(self) -> None:
        if self.processes:
            self.processes.wait()


def run_step(step: Step[Any, Any], run: Run, accept: str = "") -> bool:
    """Do the step unless it is done; True when work was done. `accept` is the reason to keep a result despite changes.

    Raises StepError when an input was not made, or there is no result to accept.
    """
    if run.processes and run.processes.size > 1 and not step.together:
        raise StepError(f"step {step.name!r} is done by one process: start it without `accelerate launch`")
    folder, plan = run.folder(step.name), step.plan(run.recipe)
    if run.is_main:
        _put_back(folder)  # a run that was killed put them aside
    run.wait()
    made_from = _made_from(step, plan, run)
    record = _read_record(folder)
    changes = _changes(step, run, record, made_from)
    if accept and changes:
        if run.is_main:
            _accept(step, run, {**record, **made_from}, changes, accept)
        return False
    if not changes and record.get("outputs"):
        _say(f"{step.name}: unchanged, skipped")
        return False
    if changes and record:
        _say(f"{step.name}: runs again, changed: {', '.join(changes)}")
    run.wait()  # all have read the record that is now replaced
    begun = {"step": step.name, "recipe": run.recipe.name, "seed": run.recipe.seed, **made_from}
    with _kept_if_refused(folder) if run.is_main and changes else nullcontext():
        _work(step, plan, run, {**begun, "sources": {} if changes else record["sources"]})
    return True


@contextmanager
def _kept_if_refused(folder: Path) -> Iterator[None]:
    """An empty place for new results. The old ones come back if the step refuses its inputs before it writes any."""
    before = _put_aside(folder)
    if folder.exists():
        folder.rename(before)
    try:
        yield
    except UserError:
        _put_back(folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _put_aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.before")


def _put_back(folder: Path) -> None:
    """Decide between old results that were put aside and what replaced them: the new count once there is a file."""
    before = _put_aside(folder)
    if not before.exists():
        return
    if any(path.is_file() and path.name != "step.json" for path in folder.rglob("*")):
        shutil.rmtree(before)
        return
    shutil.rmtree(folder, ignore_errors=True)
    before.rename(folder)


def reasons_to_run(step: Step[Any, Any], run: Run) -> list[str]:
    """Why the step would run now, in words; empty when it would be skipped. Reads records and files, runs nothing."""
    record = _read_record(run.folder(step.name))
    if not record:
        return ["it never ran"]
    unmade = [name for name in step.reads if not _read_record(run.folder(name)).get("outputs")]
    if unmade:
        return [f"input {name} is not finished" for name in unmade]
    made_from = _made_from(step, step.plan(run.recipe), run)
    changes = [_in_words(change, record, made_from) for change in _changes(step, run, record, made_from)]
    return changes or ([] if record.get("outputs") else ["it was stopped, and goes on where it was"])


def _in_words(change: str, record: dict[str, Any], made_from: dict[str, Any]) -> str:
    """A change of `_changes`, for a person."""
    if change == "versions":
        before, now = record.get("versions", {}), made_from["versions"]
        names = [f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
        return f"other versions: {', '.join(names)}"
    part, _, name = change.partition(" ")
    words = {
        "plan": "its settings changed",
        "code": "its code changed",
        "input": f"the output of step {name} changed",
        "source": f"the file {name} changed",
        "output": "its own output was edited or lost",
    }
    return words[part]


def _work(step: Step[Any, Any], plan: object, run: Run, record: dict[str, Any]) -> None:
    folder, started = run.folder(step.name), time.time()

    def note(name: str, found: str) -> None:
        """Recorded before it is read, so that a step that is cut off knows what it read."""
        record["sources"][name] = found
        if run.is_main:
            write_json(folder / "step.json", record)

    if run.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "step.json", record)
    run.wait()
    facts = {"recipe": run.recipe.name, "step": step.name, "plan": record["plan"], "code": record["code"]}
    facts |= record["versions"]
    with tracking(Tracking(run.ends, run.root / run.recipe.name, facts)):
        step.work(plan, run.inputs_of(step), folder, run.resources(note))
    if run.is_main:
        seconds = round(time.time() - started, 1)
        _finish(folder, {**record, "seconds": seconds, "machine": _machine()})
        _say(f"{step.name}: done in {seconds} s")
    run.wait()


def _machine() -> dict[str, Any]:
    """Where a step ran, and in what precision its matrix products are there; it decides no fingerprint."""
    found = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    if "torch" not in sys.modules:  # the step had no use for it
        return found
    import torch

    from training.trainer.precision import weights_dtype

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else None
    return {**found, "gpu": gpu, "precision": str(weights_dtype(device)).removeprefix("torch.")}


def _made_from(step: Step[Any, Any], plan: object, run: Run) -> dict[str, Any]:
    """All that can be known before the step runs. Source files are added as they are read."""
    return {
        "plan": hash_json(describe(plan)),
        "code": code_digest(step.work),
        "inputs": {name: _input(name, run, records=step.reads_records) for name in step.reads},
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
    }


def _finish(folder: Path, record: dict[str, Any]) -> None:
    """Write the record with the outputs, and a fingerprint of all that they were made from."""
    fingerprint = hash_json([record[part] for part in ("step", "plan", "code", "inputs", "sources", "versions")])
    write_json(folder / "step.json", {**record, "fingerprint": fingerprint, "outputs": _outputs(folder)})


def _changes(step: Step[Any, Any], run: Run, record: dict[str, Any], made_from: dict[str, Any]) -> list[str]:
    """What differs from the record, in words; "all" where there is none."""
    if not record:
        return ["all"]
    found = [part for part in ("plan", "code", "versions") if record.get(part) != made_from[part]]
    counted = {*step.reads}.difference(step.stamped if "outputs" in record else ())
    found += [f"input {name}" for name in sorted(counted) if record["inputs"].get(name) != made_from["inputs"][name]]
    sources = record.get("sources", {})
    found += [f"source {name}" for name, wanted in sources.items() if digest(run.data / name) != wanted]
    is_edited = "outputs" in record and _outputs(run.folder(step.name)) != record["outputs"]
    return [*found, "output"] if is_edited else found


def _accept(step: Step[Any, Any], run: Run, record: dict[str, Any], changes: list[str], reason: str) -> None:
    if "outputs" not in record:
        raise StepError(f"step {step.name!r} has no finished result to accept")
    accepted = [*record.get("accepted", ()), {"reason": reason, "changed": changes}]
    sources = {source: digest(run.data / source) for source in record["sources"]}
    _finish(run.folder(step.name), {**record, "sources": sources, "accepted": accepted})
    _say(f"{step.name}: kept, although changed: {', '.join(changes)} ({reason})")


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


def _outputs(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in NO_OUTPUT)
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def _input(name: str, run: Run, *, records: bool) -> dict[str, str]:
    """Digests of the files of a finished step as they are now. Raises StepError for a step that has not finished."""
    folder = run.folder(name)
    if not _read_record(folder).get("outputs"):
        command = f"python -m training {name} {run.called or run.recipe.name}"
        raise StepError(f"step {name!r} has not finished: run `{command}`")
    return _outputs(folder) | ({"step.json": digest(folder / "step.json")} if records else {})


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "step.json"
    record: dict[str, Any] = read_json(path) if path.exists() else {}
    return record
