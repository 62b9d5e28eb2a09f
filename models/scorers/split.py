"""A split model: a two-tower encoder with a late-interaction scorer.

    member ids  -> MemberState                      once a request
    candidate ids -> slots [S, d]                   once a candidate; the caller may cache them
    state, slots of C candidates -> heads [C, h]    for each pair; with the candidates' features [C, f] if it has some

Does not know caches or stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features import NO_FEATURES, Features
from models.heads import Head, calibrate
from models.runtime.session import Runner
from models.slots.codec import Slots
from models.text import Pair, TextEncoder, TokenIds


@dataclass(frozen=True, slots=True, eq=False)
class MemberState:
    """An encoded member of T tokens: `vector` [d], and `keys_values` [L, 2, H, T, dh] that candidate slots look up.

    A dot product has no keys and values.
    """

    keys_values: NDArray[Any] | None
    vector: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Size of the arrays."""
        return self.vector.nbytes + (0 if self.keys_values is None else self.keys_values.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One member against C candidates: `slots` [C, S, d], and `features` f32[C, f]; without those, the defaults."""

    member: MemberState
    slots: Slots
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.slots)

    def part(self, rows: slice) -> Block:
        """The block of some of its candidates."""
        return Block(self.member, self.slots[rows], None if self.features is None else self.features[rows])


class SplitScorer:
    """The three graphs of a split model. For one thread at a time."""

    def __init__(
        self,
        member: Runner,
        candidate: Runner,
        score: Runner,
        encoder: TextEncoder,
        heads: tuple[Head, ...],
        features: Features = NO_FEATURES,
    ) -> None:
        self._member = member
        self._candidate = candidate
        self._score = score
        self.encoder = encoder
        self._heads = heads
        self.features = features
        self.heads = tuple(head.name for head in heads)

    def warm_up(self) -> None:
        """Prepare the first batch. Call it on the thread that will score."""
        for each in (self._member, self._candidate, self._score):
            each.warm_up()

    def encode_members(self, members: Sequence[TokenIds]) -> list[MemberState]:
        """Each member's state, without padding."""
        out = self._member.run_all(self.encoder.collate_sides(members))
        keys_values = out.get("keys_values")
        return [
            MemberState(None if keys_values is None else keys_values[row, ..., : len(ids), :].copy(), vector.copy())
            for row, (ids, vector) in enumerate(zip(members, out["vector"], strict=True))
        ]

    def encode_candidates(self, candidates: Sequence[TokenIds]) -> Slots:
        """Slots [N, S, d] of each candidate, in order: i8 from a graph that gives whole numbers, else f16."""
        slots = self._candidate.run_all(self.encoder.collate_sides(candidates))["slots"]
        return slots if slots.dtype == np.int8 else slots.astype(np.float16)

    def block_logits(self, blocks: Sequence[Block]) -> NDArray[np.float32]:
        """Raw outputs f32[blocks, longest, heads]; rows beyond a block's candidates are padding."""
        feeds = _collate(blocks)
        if self.features.declared:
            feeds["features"] = _collate_features(blocks, self.features.defaults)
        return self._score.run(feeds).astype(np.float32)

    def score_blocks(self, blocks: Sequence[Block]) -> list[NDArray[np.float32]]:
        """Calibrated probabilities f32[candidates, heads] of each block."""
        probabilities = calibrate(self._heads, self.block_logits(blocks))
        return [rows[: len(block)] for rows, block in zip(probabilities, blocks, strict=True)]

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Calibrated probabilities f32[pairs, heads], in order. Keeps no state."""
        return calibrate(self._heads, self.pair_logits(pairs))

    def pair_logits(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Raw outputs f32[pairs, heads]; pairs that share a member's array encode it once."""
        if not pairs:
            return np.zeros((0, len(self._heads)), dtype=np.float32)
        rows = _rows_by_member(pairs)
        states = self.encode_members([pairs[places[0]].member for places in rows])
        slots = self.encode_candidates([pair.candidate for pair in pairs])
        features = self._features_of(pairs)
        blocks = [
            Block(state, slots[places], None if features is None else features[places])
            for state, places in zip(states, rows, strict=True)
        ]
        found = self.block_logits(blocks)
        out = np.empty((len(pairs), found.shape[-1]), dtype=np.float32)
        for logits, places in zip(found, rows, strict=True):
            out[places] = logits[: len(places)]
        return out

    def _features_of(self, pairs: Sequence[Pair]) -> NDArray[np.float32] | None:
        if not self.features.declared:
            return None
        defaults = self.features.defaults
        return np.stack([defaults if pair.features is None else pair.features for pair in pairs])


def _rows_by_member(pairs: Sequence[Pair]) -> list[list[int]]:
    rows: dict[int, list[int]] = {}
    for row, pair in enumerate(pairs):
        rows.setdefault(id(pair.member), []).append(row)
    return list(rows.values())


def _collate(blocks: Sequence[Block]) -> dict[str, NDArray[Any]]:
    """Inputs of the score graph: blocks padded to the most candidates, members to the most tokens."""
    vector = np.stack([block.member.vector for block in blocks])
    if len(blocks) == 1:
        feeds = {"vector": vector, "slots": blocks[0].slots[None]}
    else:
        slots = np.zeros((len(blocks), max(map(len, blocks)), *blocks[0].slots.shape[1:]), blocks[0].slots.dtype)
        for row, block in enumerate(blocks):
            slots[row, : len(block)] = block.slots
        feeds = {"vector": vector, "slots": slots}
    states = [block.member.keys_values for block in blocks if block.member.keys_values is not None]
    return {**feeds, **_collate_states(states)} if states else feeds


def _collate_features(blocks: Sequence[Block], defaults: NDArray[np.float32]) -> NDArray[np.float32]:
    """`features` f32[M, C, f]; the defaults where there are none."""
    features = np.broadcast_to(defaults, (len(blocks), max(map(len, blocks)), len(defaults))).copy()
    for row, block in enumerate(blocks):
        if block.features is not None:
            features[row, : len(block)] = block.features
    return features


def _collate_states(states: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """`keys_values` [M, L, 2, H, T, dh] and `member_mask` i64[M, T], padded on the right."""
    lengths = [state.shape[-2] for state in states]
    longest = max(lengths)
    member_mask = (np.arange(longest) < np.array(lengths)[:, None]).astype(np.int64)
    if len(states) == 1:
        return {"keys_values": states[0][None], "member_mask": member_mask}
    *outer, _, width = states[0].shape
    keys_values = np.zeros((len(states), *outer, longest, width), states[0].dtype)
    for row, (state, length) in enumerate(zip(states, lengths, strict=True)):
        keys_values[row, ..., :length, :] = state
    return {"keys_values": keys_values, "member_mask": member_mask}
