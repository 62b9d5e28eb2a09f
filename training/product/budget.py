"""How long a product's models learn: steps from the size of the data, a time budget and the speed of this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

LISTS_PER_STEP = 16
"""At most, as in the shared plans of `training.recipes.minilm`; the teacher reads one list a step, in pairs."""
PAIRED_LISTS = 8
"""Lists of a step of the engagement teacher, which reads pairs too."""
FORWARD = 3.0
"""How much faster texts are read than learnt from."""
START, TEACHER, READING, POOL, ENGAGEMENT = 0.2, 0.25, 0.1, 0.05, 0.1
"""Shares of the budget. The rest goes to export, compression and evaluation."""
EPOCHS = 4
LEAST_STEPS, LEAST_LISTS = 4, 16
CATALOGUE = 4
"""The catalogue gives this part of as many lists as the teacher has time for, where there is one."""
FROZEN_STEPS = 1000
"""Of a student with slots of items, on texts that are read once: more teach it nothing."""


@dataclass(frozen=True)
class Size:
    """Training lists, their mean tokens with both sides apart and in pairs, and lists without labels.

    `graded`: people graded them. Otherwise they are the log's, and only the engagement teacher learns.
    """

    graded: bool
    train_lists: int
    tokens_per_list: float
    tokens_in_pairs: float
    further_lists: int
    logged_lists: int

    @property
    def lists_per_step(self) -> int:
        """No step may ask for more lists than there are, of either kind."""
        kinds = [count for count in (self.train_lists, self.logged_lists) if count]
        return max(1, min([LISTS_PER_STEP, *kinds]))


@dataclass(frozen=True)
class Steps:
    """What the budget allows."""

    start: int
    teacher: int
    engagement: int
    frozen: int
    pool_members: int
    annotated_lists: int
    unlabelled_lists: int


def allowed_steps(size: Size, hours: float, tokens_per_s: float) -> Steps:
    """Steps that fit the hours, at most a few passes over the data, and never fewer than a few steps."""
    tokens = hours * 3600 * tokens_per_s
    step = size.lists_per_step * size.tokens_per_list
    passes = max(LEAST_STEPS, EPOCHS * size.train_lists)
    paired = min(PAIRED_LISTS, size.lists_per_step)
    readable = max(LEAST_LISTS, int(READING * tokens * FORWARD / size.tokens_per_list))
    return Steps(
        start=max(LEAST_STEPS, min(passes // size.lists_per_step, int(START * tokens / step))),
        teacher=max(LEAST_STEPS, min(passes, int(TEACHER * tokens / size.tokens_in_pairs))),
        engagement=max(LEAST_STEPS, _engagement_steps(size, paired, tokens)),
        frozen=max(LEAST_STEPS, min(FROZEN_STEPS, passes)),
        pool_members=min(size.train_lists, int(POOL * tokens * FORWARD / size.tokens_in_pairs)) * size.graded,
        annotated_lists=min(size.train_lists + size.further_lists, readable),
        unlabelled_lists=min(size.further_lists, max(readable // CATALOGUE, readable - size.train_lists)) * size.graded,
    )


def _engagement_steps(size: Size, paired: int, tokens: float) -> int:
    """Alone, the engagement teacher has the policy teacher's time too, and learns as long as that would."""
    if size.graded:
        return min(size.logged_lists // paired, int(ENGAGEMENT * tokens / (size.lists_per_step * size.tokens_per_list)))
    share = TEACHER + ENGAGEMENT
    return min(EPOCHS * size.logged_lists // paired, int(share * tokens / (paired * size.tokens_in_pairs)))


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
