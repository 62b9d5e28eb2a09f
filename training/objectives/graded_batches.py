"""Training of a split student, encoder and all, on grades and soft labels: every member of a batch meets every
candidate of it, and each text is encoded once.

Labels of a list by head: `<head>` the grade / 4, `<head>_answerable` 1 or 0, and the same names with `_soft` what a
teacher says; NaN where unknown. L lists, U distinct candidate texts of a batch, C candidates of the longest list, H
outputs, G steps of a grade, S rows of a state of D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.text import TextEncoder, TokenIds
from training.data.lists import CandidateList
from training.nets.inference import MULTIPLE, KeptTexts, evaluating, in_length_order, to_tensors
from training.nets.item_scorer import ItemScorer, expected_logits
from training.nets.items import Encoding
from training.nets.split_student import SplitStudent
from training.objectives.in_batch_negatives import distinct_candidates
from training.objectives.losses import list_kl, softmax_kl
from training.objectives.ordinal import cumulative_loss, in_order
from training.objectives.pairwise import ListLabels, label_lists
from training.trainer.distributed import Objective
from training.trainer.precision import autocast

KEPT_TEXTS = 20_000
"""A text of 100 tokens by MiniLM takes 150 KB."""
GAIN_STEPS = 4
"""Grades above 0: the gain of a grade g is 2^g - 1."""


@dataclass(frozen=True)
class Weights:
    """Weight of each term beside the pointwise one, and of each output in it (absent: 1)."""

    outputs: Mapping[str, float] = field(default_factory=dict)
    pairs: float = 0.5
    """Pairs of one list in order, for each graded head."""
    lists: float = 0.3
    """The first head's list as a whole, by gains of 2^g - 1."""
    others: float = 0.1
    """The same with the batch's other candidates, which count as not fitting."""
    soft: float = 1.0
    """Soft labels, where there are any."""
    one_logit: bool = False
    """Whether a head learns the mean of its steps alone, as a head of one logit does."""
    soft_lists: float = 0.0
    """The order that the soft labels of a head give a list."""


Read = Callable[[list[TokenIds]], tuple[Encoding, Tensor]]
"""Ids of texts to their encoding, and their mask i64[N, T]."""
Change = Callable[[Read], Read]
"""What an ablation makes of a reader."""


def unchanged(read: Read) -> Read:
    return read


def graded_batches(
    student: SplitStudent,
    encoder: TextEncoder,
    outputs: Sequence[str],
    weights: Weights | None = None,
    read: Read | None = None,
) -> Objective:
    """Mean over outputs of the cumulative loss to grades and soft labels, plus the ranking terms of `weights`.

    `outputs` names the student's heads in order; the first one ranks. `read` is how texts are encoded: by the student's
    own encoder, or from what `remembering` keeps of a frozen one.
    """
    weights, read = weights or Weights(), read or reader(student, encoder)

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        steps_LUHG, columns_LC = _score_steps(student, encoder, lists, read)
        if weights.one_logit:
            steps_LUHG = expected_logits(steps_LUHG).unsqueeze(-1)
        steps_LCHG = steps_LUHG.take_along_dim(columns_LC[:, :, None, None], dim=1)
        labels = label_lists(lists, columns_LC.device)
        total = steps_LCHG.new_zeros(())
        share = sum(weights.outputs.get(name, 1.0) for name in outputs)
        for index, name in enumerate(outputs):
            term = _output_loss(steps_LCHG[:, :, index], labels, name, weights)
            total = total + term * (weights.outputs.get(name, 1.0) / share)
        return total + _list_loss(expected_logits(steps_LUHG[:, :, 0]), columns_LC, labels, outputs[0], weights)

    return objective


def _output_loss(steps_LCG: Tensor, labels: ListLabels, name: str, weights: Weights) -> Tensor:
    target_LC, known_LC = labels.targets[name], labels.masks[name]
    loss = cumulative_loss(steps_LCG, target_LC, known_LC).value
    soft = f"{name}_soft"
    if soft in labels.targets:
        loss = loss + weights.soft * cumulative_loss(steps_LCG, labels.targets[soft], labels.masks[soft]).value
        if weights.soft_lists:
            wanted_LC = torch.logit(labels.targets[soft], eps=1e-6)
            ranked = softmax_kl(expected_logits(steps_LCG), wanted_LC, labels.masks[soft])
            loss = loss + weights.soft_lists * ranked.value
    if not name.endswith("_answerable"):
        loss = loss + weights.pairs * in_order(expected_logits(steps_LCG), target_LC, known_LC).value
    return loss


def _list_loss(logits_LU: Tensor, columns_LC: Tensor, labels: ListLabels, head: str, weights: Weights) -> Tensor:
    target_LC, known_LC = labels.targets[head], labels.masks[head]
    gains_LC = torch.where(known_LC, 2 ** (GAIN_STEPS * target_LC) - 1, torch.zeros_like(target_LC))
    own = list_kl(logits_LU.gather(1, columns_LC), gains_LC, known_LC).value
    gains_LU = torch.zeros_like(logits_LU).scatter_reduce(1, columns_LC, gains_LC, "amax")
    everything_LU = torch.ones_like(logits_LU, dtype=torch.bool)
    return weights.lists * own + weights.others * list_kl(logits_LU, gains_LU, everything_LU).value


def score_batch(
    student: SplitStudent, encoder: TextEncoder, lists: Sequence[CandidateList], read: Read | None = None
) -> tuple[Tensor, Tensor]:
    """Logits f32[L, U, H] of every member with every candidate; and the columns of each list's own, i64[L, C]."""
    steps_LUHG, columns_LC = _score_steps(student, encoder, lists, read or reader(student, encoder))
    return expected_logits(steps_LUHG), columns_LC


def _score_steps(
    student: SplitStudent, encoder: TextEncoder, lists: Sequence[CandidateList], read: Read
) -> tuple[Tensor, Tensor]:
    """As `score_batch`, but the logits of each step of a grade, [L, U, H, G]; G is 1 where the student has no steps."""
    texts, device = distinct_candidates(lists), student.scorer.bias.device

    def slots_of(batch: list[TokenIds]) -> Tensor:
        encoding, mask_NT = read(batch)
        with autocast(device):
            return student.slots(encoding, mask_NT).float()

    slots_USD = torch.stack(in_length_order(encoder.candidates(texts), slots_of, tokens=8192))
    encoding, mask_LT = read([encoder.member(each.member) for each in lists])
    with autocast(device):
        member_LX, keys_values = student.member(encoding, mask_LT), student.keys_values(encoding, mask_LT)
    state = None if keys_values is None else keys_values.float()
    slots_LUSD = slots_USD.unsqueeze(0).expand(len(lists), -1, -1, -1)
    scorer = student.scorer
    if isinstance(scorer, ItemScorer):
        steps_LUHG = scorer.steps(member_LX.float(), slots_LUSD, state, mask_LT)
    else:
        steps_LUHG = scorer(member_LX.float(), slots_LUSD, state, mask_LT).unsqueeze(-1)
    column = {text: index for index, text in enumerate(texts)}
    longest = max(map(len, lists))
    columns = [[column[text] for text in each.candidates] + [0] * (longest - len(each)) for each in lists]
    return steps_LUHG, torch.tensor(columns, device=device)


def predict_batches(
    student: SplitStudent, encoder: TextEncoder, lists: Sequence[CandidateList], change: Change = unchanged
) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order. Each distinct text is encoded once."""
    read = change(remembering(student, encoder))
    return expected_logits(predict_steps(student, encoder, lists, read)).cpu().numpy()


@torch.inference_mode()
def predict_steps(student: SplitStudent, encoder: TextEncoder, lists: Sequence[CandidateList], read: Read) -> Tensor:
    """Logits of each step of a grade, f32[pairs of all lists, H, G], in order."""
    student.eval()
    found = []
    for each in lists:
        steps_1UHG, columns_1C = _score_steps(student, encoder, [each], read)
        found.append(steps_1UHG[0, columns_1C[0]])
    return torch.cat(found)


def reader(student: SplitStudent, encoder: TextEncoder) -> Read:
    """Encodes with the student's encoder, so that it may learn."""
    device = student.scorer.bias.device

    def read(sides: list[TokenIds]) -> tuple[Encoding, Tensor]:
        inputs = to_tensors(encoder.collate_sides(sides), device, multiple=MULTIPLE)
        with autocast(device):
            return student.encode(**inputs), inputs["attention_mask"]

    return read


def remembering(student: SplitStudent, encoder: TextEncoder) -> Read:
    """Encodes each text once and keeps it in f16, the first KEPT_TEXTS of them: for a frozen encoder, whose passes then
    cost a small part.
    """
    fresh = reader(student, encoder)

    def encode(batch: list[TokenIds]) -> list[tuple[Tensor, Tensor]]:
        with evaluating(student.backbone):
            encoding, _ = fresh(batch)
        rows = zip(batch, encoding.vector, encoding.states, strict=True)
        return [(vector, states[: len(ids)].half()) for ids, vector, states in rows]

    kept = KeptTexts(encode, KEPT_TEXTS)

    def read(sides: list[TokenIds]) -> tuple[Encoding, Tensor]:
        wanted = [ids.tobytes() for ids in sides]
        found = kept.of(dict(zip(wanted, sides, strict=True)))
        inputs = to_tensors(encoder.collate_sides(sides), student.scorer.bias.device)
        vectors, states = zip(*(found[key] for key in wanted), strict=True)
        encoding = Encoding(torch.stack(vectors).float(), pad_sequence(list(states), batch_first=True).float())
        if student.shape.has_items:
            encoding = replace(encoding, is_in=student.scorer.items(**inputs))
        return encoding, inputs["attention_mask"]

    return read


def train_upper_layers(student: SplitStudent, count: int) -> SplitStudent:
    """Freeze the encoder, in place, but for its last `count` layers: what it knows of words stays."""
    encoder: Any = student.backbone.encoder
    student.backbone.requires_grad_(requires_grad=False)
    for layer in encoder.layer[len(encoder.layer) - count :]:
        layer.requires_grad_(requires_grad=True)
    return student
