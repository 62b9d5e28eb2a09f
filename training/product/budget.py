"""How long a product's models learn: steps from the size of the data, a time budget and the speed of this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

LISTS_PER_STEP = 16
"""Of the shared plans in `training.recipes.minilm`; the teacher reads one list a step, in pairs."""
FORWARD = 3.0
"""How much faster texts are read than learnt from."""
START, TEACHER, READING, POOL, ENGAGEMENT = 0.2, 0.25, 0.1, 0.05, 0.1
"""Shares of the budget. The rest goes to export, compression and evaluation."""
EPOCHS = 4
LEAST_STEPS, LEAST_LISTS = 4, 16


@dataclass(frozen=True)
class Size:
    """Training lists, their mean tokens with both sides apart and in pairs, and lists without labels."""

    train_lists: int
    tokens_per_list: float
    tokens_in_pairs: float
    further_lists: int
    logged_lists: int


@dataclass(frozen=True)
class Steps:
    """What the budget allows."""

    start: int
    teacher: int
    engagement: int
    pool_members: int
    annotated_lists: int
    unlabelled_lists: int


def allowed_steps(size: Size, hours: float, tokens_per_s: float) -> Steps:
    """Steps that fit the hours, at most a few passes over the data, and never fewer than a few steps."""
    tokens = hours * 3600 * tokens_per_s
    step = LISTS_PER_STEP * size.tokens_per_list
    passes = max(LEAST_STEPS, EPOCHS * size.train_lists)
    readable = max(LEAST_LISTS, int(READING * tokens * FORWARD / size.tokens_per_list))
    return Steps(
        start=max(LEAST_STEPS, min(passes // LISTS_PER_STEP, int(START * tokens / step))),
        teacher=max(LEAST_STEPS, min(passes, int(TEACHER * tokens / size.tokens_in_pairs))),
        engagement=max(LEAST_STEPS, min(size.logged_lists // 8 or 1, int(ENGAGEMENT * tokens / step))),
        pool_members=min(size.train_lists, int(POOL * tokens * FORWARD / size.tokens_in_pairs)),
        annotated_lists=min(size.train_lists + size.further_lists, readable),
        unlabelled_lists=min(size.further_lists, max(0, readable - size.train_lists)),
    )


def measured_speed(encoder: str, tokens: int = 64, texts: int = 32, batches: int = 3) -> float:
    """Tokens a second, forward and backward, of the encoder in this folder on this machine: its best batch."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(Path(encoder), dtype=torch.float32)
    ids = torch.randint(10, model.config.vocab_size, (texts, tokens))
    best = 0.0
    for _ in range(batches):
        started = time.perf_counter()
        model(input_ids=ids).last_hidden_state.sum().backward()
        best = max(best, ids.numel() / (time.perf_counter() - started))
    return best
