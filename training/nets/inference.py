"""Inference over many texts or pairs: batches of similar length, results in the order given. Knows no losses.

N pairs, T tokens, H heads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from models.features import NO_FEATURES, Features
from models.text import Inputs, Pair
from training.data.features import feature_inputs
from training.data.lists import CandidateList
from training.nets.interfaces import PairEncoder, PairModel
from training.trainer.precision import autocast

Item = TypeVar("Item", bound=Sized)
Result = TypeVar("Result")
BATCH_TOKENS = 8192
MULTIPLE = 16
"""Lengths are padded up to a multiple of this: each distinct shape costs the CPU's kernels a compilation."""


def length_batches(items: Sequence[Sized], size: int, *, tokens: int | None = None) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, longest first, so that little is padded.

    A batch has `size` rows, or as many as fit `tokens` when each is padded to the longest.
    """
    order = sorted(range(len(items)), key=lambda row: len(items[row]), reverse=True)
    start = 0
    while start < len(order):
        longest = len(items[order[start]])
        count = size if tokens is None else max(1, tokens // (longest + -longest % MULTIPLE))
        yield order[start : start + count]
        start += count


def in_length_order(
    items: Sequence[Item],
    run: Callable[[list[Item]], Iterable[Result]],
    *,
    size: int = 32,
    tokens: int | None = None,
    progress: str = "",
) -> list[Result]:
    """`run` over batches of similar length (see `length_batches`); one result for each item, in the order given."""
    found: dict[int, Result] = {}
    with tqdm(total=len(items), desc=progress, mininterval=5, leave=False, disable=not progress) as bar:
        for rows in length_batches(items, size, tokens=tokens):
            found.update(zip(rows, run([items[row] for row in rows]), strict=True))
            bar.update(len(rows))
    return [found[row] for row in range(len(items))]


class KeptTexts(Generic[Item, Result]):
    """What a frozen encoder makes of texts: computed once a text, and kept for the first `most` of them.

    `encode` gets batches of similar length, without gradients.
    """

    def __init__(self, encode: Callable[[list[Item]], Iterable[Result]], most: int) -> None:
        self._encode, self._most = encode, most
        self._kept: dict[bytes, Result] = {}

    def of(self, texts: Mapping[bytes, Item]) -> dict[bytes, Result]:
        """The results by the same keys, in the same order. Keys are the bytes of the token ids."""
        missing = {key: text for key, text in texts.items() if key not in self._kept}
        with torch.no_grad():
            fresh = in_length_order(list(missing.values()), self._encode, tokens=BATCH_TOKENS)
        found = dict(zip(missing, fresh, strict=True))
        self._kept.update(itertools.islice(found.items(), max(0, self._most - len(self._kept))))
        return {key: found[key] if key in found else self._kept[key] for key in texts}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Without dropout inside; then as before."""
    is_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(is_training)


def to_tensors(inputs: Inputs, device: torch.device, *, multiple: int = 1) -> dict[str, Tensor]:
    """Arrays i64[N, ..., T] as tensors, T padded up to a `multiple`."""
    padding = (0, -inputs["input_ids"].shape[-1] % multiple)
    return {name: functional.pad(torch.from_numpy(array), padding).to(device) for name, array in inputs.items()}


@torch.inference_mode()
def predict(model: PairModel, encoder: PairEncoder, pairs: Sequence[Pair]) -> np.ndarray:
    """Logits f32[len(pairs), H], in the order given."""
    model.eval()
    device = model.device

    def run(batch: list[Pair]) -> np.ndarray:
        with autocast(device):
            return model(**to_tensors(encoder.collate(batch), device, multiple=MULTIPLE)).float().cpu().numpy()

    rows = in_length_order(pairs, run, tokens=BATCH_TOKENS, progress="predict")
    return np.array(rows, dtype=np.float32).reshape(-1, model.num_heads)


def encode_pairs(encoder: PairEncoder, members: Sequence[str], candidates: Sequence[str]) -> list[Pair]:
    """Token ids of each member with the candidate beside it. Each distinct member is tokenized once."""
    ids = {text: encoder.member(text) for text in dict.fromkeys(members)}
    return [Pair(ids[text], other) for text, other in zip(members, encoder.candidates(candidates), strict=True)]


def encode_lists(encoder: PairEncoder, lists: Sequence[CandidateList], features: Features = NO_FEATURES) -> list[Pair]:
    """All pairs of all lists, in order, with the inputs of a model that reads `features`."""
    members = [each.member for each in lists for _ in each.candidates]
    pairs = encode_pairs(encoder, members, [text for each in lists for text in each.candidates])
    if not features:
        return pairs
    rows = feature_inputs(features, lists)
    return [replace(pair, features=row) for pair, row in zip(pairs, rows, strict=True)]


def predict_lists(model: PairModel, encoder: PairEncoder, lists: Sequence[CandidateList]) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order."""
    return predict(model, encoder, encode_lists(encoder, lists))
