"""Training in pairs: the model reads member and candidate together, and the loss is over whole lists.

L lists, C candidates of the longest list, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.data.lists import CandidateList
from training.nets.inference import MULTIPLE, encode_lists, to_tensors
from training.nets.interfaces import PairEncoder, PairModel
from training.objectives.losses import Mean
from training.trainer.precision import autocast


@dataclass(frozen=True)
class ListLabels:
    """Targets and mask by label, each [L, C]; short lists are padded with masked places."""

    targets: dict[str, Tensor]
    masks: dict[str, Tensor]


@dataclass(frozen=True)
class PairBatch(ListLabels):
    """Lists ready for the model: flattened pairs as model inputs, and their labels."""

    inputs: dict[str, Tensor]
    shape: tuple[int, int]
    places: Tensor

    def unflatten(self, logits_NH: Tensor) -> Tensor:
        """[pairs, H] back to [L, C, H], zeros where padded; rows beyond the lists' pairs are dropped."""
        out = logits_NH.new_zeros((self.shape[0] * self.shape[1], logits_NH.shape[1]))
        return out.index_copy(0, self.places, logits_NH[: len(self.places)]).view(*self.shape, -1)


@dataclass(frozen=True)
class Terms:
    """A loss as a weighted sum of means. All parts of a step have the same terms, and the labels alone count them."""

    weighted: Sequence[tuple[float, Mean]]

    @property
    def counts(self) -> Tensor:
        """What each mean divides by, f32[terms]."""
        return torch.stack([mean.count.float() for _, mean in self.weighted])

    def value(self, counts: Tensor | None = None) -> Tensor:
        """The loss of these lists; with the `counts` of a whole step, what these lists add to its loss."""
        counts = self.counts if counts is None else counts
        return torch.stack([weight * mean.over(counts[i]) for i, (weight, mean) in enumerate(self.weighted)]).sum()


ListLoss = Callable[[Tensor, ListLabels], Terms]
"""Logits [L, C, H] and their labels to a loss."""


def make_batch(lists: Sequence[CandidateList], encoder: PairEncoder, device: torch.device) -> PairBatch:
    """Tokenize lists with the model's own encoder; short lists are padded with masked places.

    Lengths are padded to a multiple, and on a CPU so are the pairs, by repeating the last one: each distinct shape
    costs the CPU's kernels a compilation of seconds.
    """
    pairs = encode_lists(encoder, lists)
    if device.type == "cpu":
        pairs += pairs[-1:] * (-len(pairs) % MULTIPLE)
    inputs = to_tensors(encoder.collate(pairs), device, multiple=MULTIPLE)
    width = max(len(each) for each in lists)
    places = torch.tensor([row * width + column for row, each in enumerate(lists) for column in range(len(each))])
    labels = label_lists(lists, device)
    return PairBatch(labels.targets, labels.masks, inputs, (len(lists), width), places.to(device))


def label_lists(lists: Sequence[CandidateList], device: torch.device) -> ListLabels:
    """The labels of lists as tensors."""
    width = max(len(each) for each in lists)
    targets, masks = {}, {}
    for head in lists[0].labels:
        labels = np.full((len(lists), width), np.nan, dtype=np.float32)
        for row, each in enumerate(lists):
            labels[row, : len(each)] = each.labels[head]
        masks[head] = torch.from_numpy(~np.isnan(labels)).to(device)
        targets[head] = torch.from_numpy(np.nan_to_num(labels)).to(device)
    return ListLabels(targets, masks)


@dataclass(frozen=True)
class PairObjective:
    """Scores every pair of the lists and passes the logits to `loss`. A step may be read in parts."""

    model: PairModel
    encoder: PairEncoder
    loss: ListLoss

    def __call__(self, lists: Sequence[CandidateList], counts: Tensor | None = None) -> Tensor:
        """As `Terms.value`."""
        batch = make_batch(lists, self.encoder, self.model.device)
        with autocast(self.model.device):
            logits_NH = self.model(**batch.inputs)
        return self.loss(batch.unflatten(logits_NH.float()), batch).value(counts)

    @torch.no_grad()
    def counts(self, lists: Sequence[CandidateList]) -> Tensor:
        """As `Terms.counts`, without the model: any logits give the same."""
        labels = label_lists(lists, self.model.device)
        shape = next(iter(labels.masks.values())).shape
        return self.loss(torch.zeros(*shape, self.model.num_heads, device=self.model.device), labels).counts


def pair_objective(model: PairModel, encoder: PairEncoder, loss: ListLoss) -> PairObjective:
    """Score every pair of the lists and pass the logits to `loss`."""
    return PairObjective(model, encoder, loss)
