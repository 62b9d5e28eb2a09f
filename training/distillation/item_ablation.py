"""What each lever of a student with slots of items is worth: a student is trained without each, beside a whole one.

All learn for as long, from the same lists where a lever takes none away, and are measured on the same validation lists.
L lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.text import TextEncoder, TokenIds
from training.data.lists import CandidateList, by_list
from training.distillation.item_student import direction_texts, learn, lists_to_learn, start_student
from training.metrics.measures import MEASURES, exponential
from training.metrics.ranking import evaluate_lists, ndcg_at_10
from training.nets.cross_encoder import CrossEncoder
from training.nets.item_scorer import COSINE_SHARE
from training.nets.items import Encoding
from training.objectives.graded_batches import Read, predict_batches, unchanged
from training.recipe import HeadNames, ItemLever, StudentPlan

ORDER = MEASURES["pairs in order"]


@dataclass(frozen=True)
class Trial:
    """What one student of the ablation learns from, and how."""

    judged: Sequence[CandidateList]
    constructed: Sequence[CandidateList]
    soft: Sequence[CandidateList]
    plan: StudentPlan
    cosine_share: float = COSINE_SHARE
    one_logit: bool = False
    reads_items: bool = True


@dataclass(frozen=True)
class Bench:
    """What all trials share: where they start, what they answer, and what measures them."""

    start: CrossEncoder
    tokenizer: str
    encoder: TextEncoder
    heads: HeadNames
    valid: Sequence[CandidateList]
    seed: int

    def measure(self, trial: Trial, out: Path) -> dict[str, np.ndarray]:
        """Train a student in `out`; figures of the validation lists f64[L] by name, NaN where a list has none."""
        lists, further = lists_to_learn(trial.judged, trial.constructed, trial.soft, self.heads)
        texts = direction_texts(lists)
        outputs, change = self.heads.outputs, unchanged if trial.reads_items else pools_alone
        assert trial.plan.split
        torch.manual_seed(self.seed)
        student = start_student(
            self.start, self.tokenizer, trial.plan.split, outputs, texts, cosine_share=trial.cosine_share
        )
        one_logit = trial.one_logit
        learn(student, self.encoder, lists, further, outputs, trial.plan, out, one_logit=one_logit, change=change)
        return figures(self.heads.graded, predict_batches(student, self.encoder, self.valid, change), self.valid)


def pools_alone(read: Read) -> Read:
    """A reader that finds no items, so that the scorer compares pools and embeddings only."""

    def reading(sides: list[TokenIds]) -> tuple[Encoding, torch.Tensor]:
        encoding, mask_NT = read(sides)
        return replace(encoding, is_in=torch.zeros_like(encoding.is_in)), mask_NT

    return reading


def figures(heads: Sequence[str], logits: np.ndarray, lists: Sequence[CandidateList]) -> dict[str, np.ndarray]:
    """NDCG@10 of the first head with gains 2^grade - 1; of each graded head the share of pairs in order, f64[L]."""
    first = by_list(logits[:, 0], lists)
    gains = [exponential(each.labels[heads[0]]) for each in lists]
    found = {f"{heads[0]} NDCG@10": evaluate_lists(ndcg_at_10, first, gains)}
    for index, head in enumerate(heads):
        given = [each.labels[head] for each in lists]
        found[f"{head} pairs in order"] = evaluate_lists(_in_order, by_list(logits[:, index], lists), given)
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def _in_order(scores: np.ndarray, gains: np.ndarray) -> float:
    return float(ORDER.value(ORDER.sums(scores, gains)))


def _frozen(trial: Trial) -> Trial:
    return replace(trial, plan=replace(trial.plan, trained_layers=0))


WITHOUT: dict[ItemLever, Callable[[Trial], Trial]] = {
    "constructed lists": lambda trial: replace(trial, constructed=()),
    "soft labels": lambda trial: replace(trial, soft=()),
    "cumulative logits": lambda trial: replace(trial, one_logit=True),
    "slots of items": lambda trial: replace(trial, reads_items=False),
    "small cosine": lambda trial: replace(trial, cosine_share=1.0),
    "upper layers": _frozen,
}
"""A trial without each lever, by its name in a recipe."""
