"""The training loop, the same for every teacher and student: batches in, a loss that falls, checkpoints that resume.

Knows tensors and optimisers, not what a loss means. L lists, C candidates (padded), H heads.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.text import TextEncoder
from training.cross_encoder import encode_lists
from training.data import CandidateList


class TrainingStopped(Exception):
    """Training cannot go on; the sentence says at which step and why."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. Steps are optimiser steps of `lists_per_step` lists each."""

    steps: int
    lists_per_step: int
    learning_rate: float
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    checkpoint_every: int = 200
    seed: int = 0


@dataclass(frozen=True)
class TrainBatch:
    """Lists ready for the model: flattened pairs as model inputs, targets and mask by head."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    masks: dict[str, Tensor]
    shape: tuple[int, int]
    places: Tensor

    def unflatten(self, logits_NH: Tensor) -> Tensor:
        """[pairs, H] back to [L, C, H], zeros where padded."""
        out = logits_NH.new_zeros((self.shape[0] * self.shape[1], logits_NH.shape[1]))
        return out.index_copy(0, self.places, logits_NH).view(*self.shape, -1)


Loss = Callable[[Tensor, TrainBatch], Tensor]


def make_batch(lists: Sequence[CandidateList], encoder: TextEncoder) -> TrainBatch:
    """Tokenise lists with the encoder that serving uses; short lists are padded with masked places."""
    arrays = encoder.collate(encode_lists(encoder, lists))
    inputs = {name: _padded(torch.from_numpy(array)) for name, array in arrays.items()}
    width = max(len(each) for each in lists)
    places = torch.tensor([row * width + column for row, each in enumerate(lists) for column in range(len(each))])
    targets, masks = {}, {}
    for head in lists[0].labels:
        labels = np.full((len(lists), width), np.nan, dtype=np.float32)
        for row, each in enumerate(lists):
            labels[row, : len(each)] = each.labels[head]
        masks[head] = torch.from_numpy(~np.isnan(labels))
        targets[head] = torch.from_numpy(np.nan_to_num(labels))
    return TrainBatch(inputs, targets, masks, (len(lists), width), places)


def _padded(tensor_NT: Tensor) -> Tensor:
    """Pad the length up to a multiple of 16: few distinct shapes, each of which costs the CPU kernels a compilation."""
    return nn.functional.pad(tensor_NT, (0, -tensor_NT.shape[1] % 16))


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
    model: nn.Module, lists: Sequence[CandidateList], encoder: TextEncoder, loss: Loss, schedule: Schedule, folder: Path
) -> None:
    """Train `model` in place.

    Resumes from `folder/checkpoint.pt`; a non-finite loss stops before the optimiser moves.
    """
    torch.manual_seed(schedule.seed)
    if len(lists) < schedule.lists_per_step:
        raise TrainingStopped(f"{len(lists)} lists are fewer than one step's {schedule.lists_per_step}")
    optimiser, scheduler = _optimiser(model, schedule)
    checkpoint = folder / "checkpoint.pt"
    first = _resume(checkpoint, model, optimiser, scheduler)
    batches = shuffled(lists, schedule)
    for _ in range(first):  # the same order of lists as the run that was cut off
        next(batches)
    device = next(model.parameters()).device
    model.train()
    progress = tqdm(range(first, schedule.steps), initial=first, total=schedule.steps, desc=folder.name, mininterval=5)
    with (folder / "log.jsonl").open("a") as log:
        for step in progress:
            started = time.perf_counter()
            batch = make_batch(next(batches), encoder)
            value = _step(model, batch, loss, optimiser, schedule, device)
            if not np.isfinite(value):
                raise TrainingStopped(f"the loss is {value} at step {step}; the optimiser was not moved by it")
            scheduler.step()
            seconds = time.perf_counter() - started
            log.write(json.dumps({"step": step, "loss": round(value, 5), "seconds": round(seconds, 3)}) + "\n")
            log.flush()
            progress.set_postfix(loss=f"{value:.4f}", refresh=False)
            if (step + 1) % schedule.checkpoint_every == 0:
                _save(checkpoint, step + 1, model, optimiser, scheduler)
    model.eval()


def _step(
    model: nn.Module,
    batch: TrainBatch,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    device: torch.device,
) -> float:
    optimiser.zero_grad()
    inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
    with torch.autocast(device.type, dtype=torch.bfloat16):
        logits_NH = model(**inputs).logits
    value = loss(batch.unflatten(logits_NH.float().cpu()), batch)
    if not torch.isfinite(value):
        return value.item()
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
    optimiser.step()
    return value.item()


def _optimiser(
    model: nn.Module, schedule: Schedule
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
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
