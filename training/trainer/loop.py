"""The training loop of every teacher and student: batches in, a loss to minimize, checkpoints that resume.

Knows optimizers and files, not what a model reads or a loss means. A checkpoint holds full tensors, so that an
interrupted run may resume with another number of processes.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from training.data.lists import CandidateList
from training.errors import UserError
from training.files import complete
from training.tracking.tracker import open_curve
from training.trainer.distributed import (
    SINGLE_PROCESS,
    Objective,
    ProcessGroup,
    full_state,
    load_full_state,
    load_optimizer,
    trained_state,
)
from training.trainer.parts import Parts
from training.trainer.schedule import Schedule


class TrainingStopped(UserError):
    """Training cannot continue; the message gives the step and the reason."""


@dataclass(frozen=True)
class Mixture:
    """Lists of another kind: the `first` steps train on them alone, and later each step with the chance `share`."""

    lists: Sequence[CandidateList]
    first: int
    share: float


@dataclass(frozen=True)
class Validation:
    """Early stopping: every `every` steps after `after`, `measure` says how good the model is; more is better.

    Training stops after `patience` measures in a row without a new best. The model ends with its best weights.
    """

    measure: Callable[[], float]
    every: int
    patience: int
    after: int = 0


def shuffled(lists: Sequence[CandidateList], schedule: Schedule) -> Iterator[list[CandidateList]]:
    """Batches without end, reshuffled every epoch. Inside a window of 32 batches, lists of similar length share one."""
    random_ = random.Random(schedule.seed)
    size = schedule.lists_per_step
    while True:
        order = list(lists)
        random_.shuffle(order)
        for start in range(0, len(order) - size + 1, size * 32):
            window = sorted(order[start : start + size * 32], key=_longest_chars)
            batches = [window[i : i + size] for i in range(0, len(window) - size + 1, size)]
            random_.shuffle(batches)
            yield from batches


def mixed(lists: Sequence[CandidateList], mixture: Mixture, schedule: Schedule) -> Iterator[list[CandidateList]]:
    """Batches of one kind each: of the mixture alone at first, then by chance."""
    random_ = random.Random(schedule.seed)
    kinds = {True: shuffled(mixture.lists, schedule), False: shuffled(lists, schedule)}
    for step in itertools.count():
        is_other = random_.random() < mixture.share  # drawn at every step, so that `first` changes no later draw
        yield next(kinds[step < mixture.first or is_other])


def _longest_chars(each: CandidateList) -> int:
    return len(each.member) + max(map(len, each.candidates))


def fit(
    model: nn.Module,
    lists: Sequence[CandidateList],
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    *,
    mixture: Mixture | None = None,
    validation: Validation | None = None,
    lists_at_once: int | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train `model`, whose loss `objective` computes, in place.

    Resumes from `folder/checkpoint.pt`, also where all steps are done. A non-finite loss raises TrainingStopped before
    the optimizer steps. Each of the `processes` takes an equal part of a step's lists and reads `lists_at_once` of them
    (default: all). A step's loss is the same however it is divided. TypeError where `objective` is no PartObjective and
    a step would be divided.
    """
    torch.manual_seed(schedule.seed)
    for some in (lists, *([mixture.lists] if mixture else [])):
        _check_enough(some, schedule, processes)
    folder.mkdir(parents=True, exist_ok=True)
    optimizer, scheduler = _optimizer(model, schedule)
    checkpoint = folder / "checkpoint.pt"
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu") if checkpoint.exists() else {}
    if state:
        _load_model(model, state["model"])
    parts = Parts(objective, processes.prepare(model, objective, optimizer), lists_at_once, processes)
    if state:
        load_optimizer(optimizer, state["optimiser"])
        scheduler.load_state_dict(state["scheduler"])
    first = int(state.get("step", 0))
    best = _Best(model, folder, processes, validation, **state.get("best", {}))
    batches = mixed(lists, mixture, schedule) if mixture else shuffled(lists, schedule)
    for _ in range(first):  # the same order of lists as in the interrupted run
        next(batches)
    model.train()
    steps = range(first, first if best.is_over else schedule.steps)
    progress = tqdm(
        steps, initial=first, total=schedule.steps, desc=folder.name, mininterval=5, disable=not processes.is_main
    )
    with open_curve(folder, is_main=processes.is_main) as curve:
        for step in progress:
            started = time.perf_counter()
            torch.manual_seed(schedule.seed + step)  # dropout draws the same in a resumed run
            loss = _step(model, parts, next(batches), optimizer, schedule)
            if not math.isfinite(loss):
                raise TrainingStopped(f"the loss is {loss} at step {step}; the optimizer did not step")
            scheduler.step()
            seconds = time.perf_counter() - started
            noted = {"loss": round(loss, 5), "seconds": round(seconds, 3)}
            is_measured = best.measured(step + 1, is_last=step + 1 == schedule.steps)
            curve.note(step, {**noted, **({"valid": best.last} if is_measured else {})})
            progress.set_postfix(loss=f"{loss:.4f}", refresh=False)
            if is_measured or (step + 1) % schedule.checkpoint_every == 0 or step + 1 == schedule.steps:
                saved = {"scheduler": scheduler.state_dict(), "best": best.state}
                _save(checkpoint, step + 1, model, optimizer, saved, processes)
            if best.is_over:
                break
    best.restore()
    model.eval()


@dataclass
class _Best:
    """The best model so far, in `folder/best.pt`, and how many measures ago it was."""

    model: nn.Module
    folder: Path
    processes: ProcessGroup
    validation: Validation | None
    value: float = -math.inf
    since: int = 0
    last: float = math.nan

    @property
    def state(self) -> dict[str, float]:
        return {"value": self.value, "since": self.since}

    @property
    def is_over(self) -> bool:
        return self.validation is not None and self.since >= self.validation.patience

    def measured(self, step: int, *, is_last: bool) -> bool:
        """Measure if it is time to; whether it was."""
        plan = self.validation
        if plan is None or step <= plan.after or not (is_last or step % plan.every == 0):
            return False
        self.last = plan.measure()
        self.model.train()
        self.since += 1
        if self.last > self.value:
            self.value, self.since = self.last, 0
            state = full_state(trained_state(self.model))
            if self.processes.is_main:
                with complete(self.folder / "best.pt") as partial:
                    torch.save(state, partial)
        return True

    def restore(self) -> None:
        if self.value > -math.inf:
            self.processes.wait()
            state = torch.load(self.folder / "best.pt", weights_only=True, map_location="cpu")
            load_full_state(self.model, state)


def _check_enough(lists: Sequence[CandidateList], schedule: Schedule, processes: ProcessGroup) -> None:
    size = schedule.lists_per_step
    if len(lists) < size:
        raise TrainingStopped(f"a step needs {size} lists, and there are only {len(lists)}")
    if size % processes.size:
        raise TrainingStopped(f"a step's {size} lists cannot be divided evenly by {processes.size} processes")


def _step(
    model: nn.Module, parts: Parts, lists: Sequence[CandidateList], optimizer: Optimizer, schedule: Schedule
) -> float:
    optimizer.zero_grad()
    loss = parts.backward(lists)
    if math.isfinite(loss):
        nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
        optimizer.step()
    return loss


def _optimizer(model: nn.Module, schedule: Schedule) -> tuple[Optimizer, LambdaLR]:
    """AdamW: the backbone learns at `learning_rate`, all else at `added_learning_rate`; only matrices decay."""
    pretrained = _pretrained(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        rate = schedule.learning_rate if parameter in pretrained else schedule.added_learning_rate
        # Decay would pull norms, biases and the logits of positions towards 0, where nothing says they belong.
        decay = schedule.weight_decay if parameter.dim() > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    optimizer = AdamW([{"params": each, "lr": rate, "weight_decay": decay} for (rate, decay), each in groups.items()])
    warmup = max(1, int(schedule.steps * schedule.warmup_share))
    decay = (schedule.steps - warmup + 1) * schedule.decay_share

    def factor(step: int) -> float:
        return min((step + 1) / warmup, 1.0, max(0.02, (schedule.steps - step) / decay))

    return optimizer, LambdaLR(optimizer, factor)


def _pretrained(model: nn.Module) -> set[nn.Parameter]:
    """Parameters of every `backbone` inside the model."""
    backbones = (getattr(module, "backbone", None) for module in model.modules())
    return {parameter for each in backbones if isinstance(each, nn.Module) for parameter in each.parameters()}


def _save(
    path: Path, step: int, model: nn.Module, optimizer: Optimizer, rest: dict[str, Any], processes: ProcessGroup
) -> None:
    weights, moments = full_state(trained_state(model)), full_state(optimizer.state_dict())
    if processes.is_main:
        with complete(path) as partial:
            torch.save({"step": step, "model": weights, "optimiser": moments, **rest}, partial)


def _load_model(model: nn.Module, state: dict[str, Tensor]) -> None:
    missing = trained_state(model).keys() - state.keys()
    if missing:
        raise TrainingStopped(f"the checkpoint is of another model: it has no {min(missing)}")
    model.load_state_dict({**model.state_dict(), **state})
