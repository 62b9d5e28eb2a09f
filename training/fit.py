"""The training loop, the same for every teacher and student: batches in, a loss that falls, checkpoints that resume.

Knows optimisers and files, not what a model reads or a loss means.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.data import CandidateList


class TrainingStopped(Exception):
    """Training cannot go on; the sentence says at which step and why."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. Steps are optimiser steps of `lists_per_step` lists each.

    `learning_rate` moves the pretrained backbone; what was added to it starts from nothing learnt and moves faster.
    """

    steps: int
    lists_per_step: int
    learning_rate: float
    added_learning_rate: float = 1e-2
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    checkpoint_every: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Phases:
    """A model's two phases: first both sides apart, every member against the batch's candidates; then in pairs."""

    sides: Schedule
    pairs: Schedule


Objective = Callable[[Sequence[CandidateList]], Tensor]
"""Lists to a scalar loss of the model that the objective was made for."""


def shuffled(lists: Sequence[CandidateList], schedule: Schedule) -> Iterator[list[CandidateList]]:
    """Batches for ever: shuffled anew each epoch, lists of like length together inside a window of 32 batches."""
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


def _longest_chars(each: CandidateList) -> int:
    return len(each.member) + max(map(len, each.candidates))


def fit(
    model: nn.Module, lists: Sequence[CandidateList], objective: Objective, schedule: Schedule, folder: Path
) -> None:
    """Train `model`, whose loss `objective` computes, in place.

    Resumes from `folder/checkpoint.pt`; a non-finite loss stops before the optimiser moves.
    """
    torch.manual_seed(schedule.seed)
    if len(lists) < schedule.lists_per_step:
        raise TrainingStopped(f"{len(lists)} lists are fewer than one step's {schedule.lists_per_step}")
    folder.mkdir(exist_ok=True)
    optimiser, scheduler = _optimiser(model, schedule)
    checkpoint = folder / "checkpoint.pt"
    first = _resume(checkpoint, model, optimiser, scheduler)
    batches = shuffled(lists, schedule)
    for _ in range(first):  # the same order of lists as the run that was cut off
        next(batches)
    model.train()
    progress = tqdm(range(first, schedule.steps), initial=first, total=schedule.steps, desc=folder.name, mininterval=5)
    with (folder / "log.jsonl").open("a") as log:
        for step in progress:
            started = time.perf_counter()
            value = _step(model, objective(next(batches)), optimiser, schedule)
            if not math.isfinite(value):
                raise TrainingStopped(f"the loss is {value} at step {step}; the optimiser was not moved by it")
            scheduler.step()
            seconds = time.perf_counter() - started
            log.write(json.dumps({"step": step, "loss": round(value, 5), "seconds": round(seconds, 3)}) + "\n")
            log.flush()
            progress.set_postfix(loss=f"{value:.4f}", refresh=False)
            if (step + 1) % schedule.checkpoint_every == 0:
                _save(checkpoint, step + 1, model, optimiser, scheduler)
    model.eval()


def _step(model: nn.Module, loss: Tensor, optimiser: torch.optim.Optimizer, schedule: Schedule) -> float:
    value = loss.item()
    if math.isfinite(value):
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
        optimiser.step()
    return value


def _optimiser(
    model: nn.Module, schedule: Schedule
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[name.startswith("backbone.")].append(parameter)
    rates = {True: schedule.learning_rate, False: schedule.added_learning_rate}
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "lr": rates[key]} for key, parameters in groups.items()],
        weight_decay=schedule.weight_decay,
    )
    warmup = max(1, int(schedule.steps * schedule.warmup_share))

    def factor(step: int) -> float:
        return min((step + 1) / warmup, max(0.02, (schedule.steps - step) / (schedule.steps - warmup + 1)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _save(
    path: Path,
    step: int,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    scheduler.load_state_dict(state["scheduler"])
    return int(state["step"])
