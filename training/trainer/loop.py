"""The training loop, the same for every teacher and student: batches in, a loss that falls, checkpoints that resume.

Knows optimisers and files, not what a model reads or a loss means. A checkpoint holds whole tensors, so that a run that
was cut off may go on with another number of processes.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.data.lists import CandidateList
from training.errors import UserError
from training.trainer.distributed import SINGLE_PROCESS, Objective, ProcessGroup, learnt_state, load_optimiser, whole
from training.trainer.schedule import Schedule


class TrainingStopped(UserError):
    """Training cannot go on; the sentence says at which step and why."""


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
    model: nn.Module,
    lists: Sequence[CandidateList],
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    *,
    lists_at_once: int | None = None,
    team: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train `model`, whose loss `objective` computes, in place.

    Resumes from `folder/checkpoint.pt`; a non-finite loss stops before the optimiser moves. Each process of a `team`
    takes an equal share of a step's lists, and reads `lists_at_once` of them (default: all); a step's loss is the mean
    over such parts, by their numbers of lists.
    """
    torch.manual_seed(schedule.seed)
    _check_enough(lists, schedule, team)
    folder.mkdir(exist_ok=True)
    optimiser, scheduler = _optimiser(model, schedule)
    checkpoint = folder / "checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True, map_location="cpu") if checkpoint.exists() else None
    if state:
        _load_model(model, state["model"])
    joined = team.join(model, objective, optimiser)
    if state:
        load_optimiser(optimiser, state["optimiser"])
        scheduler.load_state_dict(state["scheduler"])
    first = int(state["step"]) if state else 0
    batches = shuffled(lists, schedule)
    for _ in range(first):  # the same order of lists as the run that was cut off
        next(batches)
    model.train()
    progress = tqdm(
        range(first, schedule.steps),
        initial=first,
        total=schedule.steps,
        desc=folder.name,
        mininterval=5,
        disable=not team.is_main,
    )
    with _log(folder, team) as log:
        for step in progress:
            started = time.perf_counter()
            value = _step(model, joined, team.share(next(batches)), optimiser, schedule, lists_at_once, team)
            if not math.isfinite(value):
                raise TrainingStopped(f"the loss is {value} at step {step}; the optimiser was not moved by it")
            scheduler.step()
            seconds = time.perf_counter() - started
            log.write(json.dumps({"step": step, "loss": round(value, 5), "seconds": round(seconds, 3)}) + "\n")
            log.flush()
            progress.set_postfix(loss=f"{value:.4f}", refresh=False)
            if (step + 1) % schedule.checkpoint_every == 0:
                _save(checkpoint, step + 1, model, optimiser, scheduler, team)
    model.eval()


def _check_enough(lists: Sequence[CandidateList], schedule: Schedule, team: ProcessGroup) -> None:
    if len(lists) < schedule.lists_per_step:
        raise TrainingStopped(f"{len(lists)} lists are fewer than one step's {schedule.lists_per_step}")
    if schedule.lists_per_step % team.size:
        raise TrainingStopped(f"{team.size} processes cannot share a step's {schedule.lists_per_step} lists evenly")


def _log(folder: Path, team: ProcessGroup) -> TextIO:
    return (folder / "log.jsonl" if team.is_main else Path(os.devnull)).open("a", encoding="utf-8")


def _step(
    model: nn.Module,
    objective: Objective,
    lists: Sequence[CandidateList],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    lists_at_once: int | None,
    team: ProcessGroup,
) -> float:
    size = lists_at_once or len(lists)
    optimiser.zero_grad()
    total = torch.zeros(())
    for start in range(0, len(lists), size):
        part = lists[start : start + size]
        loss = objective(part) * (len(part) / len(lists))
        if math.isfinite(loss.item()) or team.size > 1:  # the others wait for its gradients
            loss.backward()
        total = total.to(loss.device) + loss.detach()
    value = team.mean(total)
    if math.isfinite(value):
        nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
        optimiser.step()
    return value


def _optimiser(
    model: nn.Module, schedule: Schedule
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups["backbone." in name].append(parameter)
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
    team: ProcessGroup,
) -> None:
    state = {
        "step": step,
        "model": whole(learnt_state(model)),
        "optimiser": whole(optimiser.state_dict()),
        "scheduler": scheduler.state_dict(),
    }
    if team.is_main:
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)


def _load_model(model: nn.Module, state: dict[str, Tensor]) -> None:
    lacking = learnt_state(model).keys() - state.keys()
    if lacking:
        raise TrainingStopped(f"the checkpoint is of another model: it lacks {min(lacking)}")
    model.load_state_dict({**model.state_dict(), **state})
