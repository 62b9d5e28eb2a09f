"""The training loop of every teacher and student: batches in, a loss to minimize, checkpoints that resume.

Knows optimizers and files, not what a model reads or a loss means. A checkpoint holds full tensors, so that an
interrupted run may resume with another number of processes.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from training.data.lists import CandidateList
from training.errors import UserError
from training.files import complete
from training.trainer.distributed import (
    SINGLE_PROCESS,
    Objective,
    ProcessGroup,
    full_state,
    load_optimizer,
    trained_state,
)
from training.trainer.schedule import Schedule


class TrainingStopped(UserError):
    """Training cannot continue; the message gives the step and the reason."""


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
    processes: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train `model`, whose loss `objective` computes, in place.

    Resumes from `folder/checkpoint.pt`. A non-finite loss raises TrainingStopped before the optimizer steps. Each of
    the `processes` takes an equal part of a step's lists and reads `lists_at_once` of them (default: all). A step's
    loss is the mean over such parts, weighted by their numbers of lists.
    """
    torch.manual_seed(schedule.seed)
    _check_enough(lists, schedule, processes)
    folder.mkdir(exist_ok=True)
    optimizer, scheduler = _optimizer(model, schedule)
    checkpoint = folder / "checkpoint.pt"
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu") if checkpoint.exists() else {}
    if state:
        _load_model(model, state["model"])
    prepared = processes.prepare(model, objective, optimizer)
    if state:
        load_optimizer(optimizer, state["optimiser"])
        scheduler.load_state_dict(state["scheduler"])
    first = int(state.get("step", 0))
    batches = shuffled(lists, schedule)
    for _ in range(first):  # the same order of lists as in the interrupted run
        next(batches)
    model.train()
    steps = range(first, schedule.steps)
    progress = tqdm(
        steps, initial=first, total=schedule.steps, desc=folder.name, mininterval=5, disable=not processes.is_main
    )
    with _log(folder, processes) as log:
        for step in progress:
            started = time.perf_counter()
            loss = _step(model, prepared, processes.part(next(batches)), optimizer, schedule, lists_at_once, processes)
            if not math.isfinite(loss):
                raise TrainingStopped(f"the loss is {loss} at step {step}; the optimizer did not step")
            scheduler.step()
            seconds = time.perf_counter() - started
            log.write(json.dumps({"step": step, "loss": round(loss, 5), "seconds": round(seconds, 3)}) + "\n")
            log.flush()
            progress.set_postfix(loss=f"{loss:.4f}", refresh=False)
            if (step + 1) % schedule.checkpoint_every == 0:
                _save(checkpoint, step + 1, model, optimizer, scheduler, processes)
    model.eval()


def _check_enough(lists: Sequence[CandidateList], schedule: Schedule, processes: ProcessGroup) -> None:
    size = schedule.lists_per_step
    if len(lists) < size:
        raise TrainingStopped(f"a step needs {size} lists, and there are only {len(lists)}")
    if size % processes.size:
        raise TrainingStopped(f"a step's {size} lists cannot be divided evenly by {processes.size} processes")


def _log(folder: Path, processes: ProcessGroup) -> TextIO:
    return (folder / "log.jsonl" if processes.is_main else Path(os.devnull)).open("a", encoding="utf-8")


def _step(
    model: nn.Module,
    objective: Objective,
    lists: Sequence[CandidateList],
    optimizer: Optimizer,
    schedule: Schedule,
    lists_at_once: int | None,
    processes: ProcessGroup,
) -> float:
    size = lists_at_once or len(lists)
    optimizer.zero_grad()
    total = torch.zeros(())
    for start in range(0, len(lists), size):
        part = lists[start : start + size]
        loss = objective(part) * (len(part) / len(lists))
        if math.isfinite(loss.item()) or processes.size > 1:  # the other processes wait for its gradients
            loss.backward()
        total = total.to(loss.device) + loss.detach()
    mean = processes.mean(total)
    if math.isfinite(mean):
        nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
        optimizer.step()
    return mean


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

    def factor(step: int) -> float:
        return min((step + 1) / warmup, max(0.02, (schedule.steps - step) / (schedule.steps - warmup + 1)))

    return optimizer, LambdaLR(optimizer, factor)


def _pretrained(model: nn.Module) -> set[nn.Parameter]:
    """Parameters of every `backbone` inside the model."""
    backbones = (getattr(module, "backbone", None) for module in model.modules())
    return {parameter for each in backbones if isinstance(each, nn.Module) for parameter in each.parameters()}


def _save(
    path: Path, step: int, model: nn.Module, optimizer: Optimizer, scheduler: LambdaLR, processes: ProcessGroup
) -> None:
    state = {
        "step": step,
        "model": full_state(trained_state(model)),
        "optimiser": full_state(optimizer.state_dict()),
        "scheduler": scheduler.state_dict(),
    }
    if processes.is_main:
        with complete(path) as partial:
            torch.save(state, partial)


def _load_model(model: nn.Module, state: dict[str, Tensor]) -> None:
    missing = trained_state(model).keys() - state.keys()
    if missing:
        raise TrainingStopped(f"the checkpoint is of another model: it has no {min(missing)}")
    model.load_state_dict({**model.state_dict(), **state})
