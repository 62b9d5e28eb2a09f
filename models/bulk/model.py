"""An opened bundle that scores pairs as the service does. Knows neither files of pairs nor progress.

    model = open_model(Path("models/jobs-v1"))
    model.score([{"member": {"headline": "Data engineer"}, "candidate": {"title": "Pastry chef"}}])

On a CPU the model reads each text, and joins each pair, alone by default: a score depends on its pair alone, to the
bit, as in a request of this one pair. Padding and the others of a batch move the last bits of a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.bundle.files import Bundle
from models.errors import DataError, FieldError
from models.features import Features
from models.heads import UNANSWERED, blended
from models.loading import check_known_answers, open_encoder, open_scorer
from models.runtime.session import Device, resolve_device
from models.scorers.cross_encoder import CrossEncoderScorer
from models.scorers.split import Block, MemberState, SplitScorer
from models.slots.codec import Slots
from models.text import Pair, TextEncoder, TokenIds

MAX_CHARS = 50_000
"""Of a longer text the rest is not read: the default of the service's FITSCORE_MAX_TEXT_CHARS."""
LARGEST_BLOCK = 1024
"""Candidates of one run of a score graph that joins nothing."""
GPU_BATCH = 64
Encoded = tuple[Slots | TokenIds, ...]
"""Of each chunk of a candidate's text its slots, or for a cross-encoder its token ids."""
Status = Literal["scored", "invalid", "failed"]
INVALID, FAILED = float("nan"), float("inf")
"""In place of the probabilities of a pair: the model can read nothing of a side; the model failed on the pair."""


@dataclass(eq=False)
class BulkModel:
    """The scorer of a bundle, and the texts of a run of it. For one thread at a time."""

    bundle: Bundle
    encoder: TextEncoder
    scorer: CrossEncoderScorer | SplitScorer
    batch: int
    features: Features
    _last: tuple[str, MemberState | TokenIds | None] | None = None

    def encode(self, candidates: Sequence[str]) -> list[Encoded | None]:
        """Candidates' texts as the model keeps them, in order; None where it can read nothing of a text."""
        read = self.encoder.read_candidates([text[:MAX_CHARS] for text in candidates])
        chunks = [ids for text in read if text.counts.readable for ids in text.chunks]
        made: Iterator[Slots | TokenIds] = iter(chunks)
        if isinstance(self.scorer, SplitScorer):
            starts = range(0, len(chunks), self.batch)
            encode = self.scorer.encode_candidates
            made = (each for start in starts for each in encode(chunks[start : start + self.batch]))
        return [tuple(islice(made, len(text.chunks))) if text.counts.readable else None for text in read]

    def rows(self, member: str, candidates: Sequence[Encoded], features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities f32[candidates, heads], INVALID where the model can read nothing of the member.

        `features` f32[candidates, features] are the model's inputs; see `Features.read`.

        A member that comes several times in a row is encoded once.
        """
        state, heads = self._member(member), len(self.scorer.heads)
        if state is None:
            return np.full((len(candidates), heads), INVALID, np.float32)
        counts = [len(each) for each in candidates]
        chunks = [chunk for each in candidates for chunk in each]
        inputs = np.repeat(features, counts, axis=0)
        rows = np.empty((len(chunks), heads), np.float32)
        # A product of two vectors has the same bits in any block; layers that join the sides do not.
        joined = not isinstance(state, MemberState) or state.keys_values is not None
        step = self.batch if joined else LARGEST_BLOCK
        for start in range(0, len(chunks), step):
            some = slice(start, start + step)
            rows[some] = self._block(state, chunks[some], inputs[some])
        if self.encoder.chunks > 1:
            rows = self.bundle.manifest.best_chunk.rows(rows, counts)
        rows[~np.isfinite(rows).all(axis=1)] = FAILED
        return rows

    def _member(self, text: str) -> MemberState | TokenIds | None:
        if self._last is None or self._last[0] != text:
            read = self.encoder.read_member(text[:MAX_CHARS])
            state: MemberState | TokenIds | None = read.ids if read.counts.readable else None
            if state is not None and isinstance(self.scorer, SplitScorer):
                [state] = self.scorer.encode_members([read.ids])
            self._last = text, state
        return self._last[1]

    def _block(
        self, member: MemberState | TokenIds, chunks: Sequence[Slots | TokenIds], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if isinstance(self.scorer, SplitScorer):
            assert isinstance(member, MemberState)
            return self.scorer.score_blocks([Block(member, np.stack(chunks), features)])[0]
        assert not isinstance(member, MemberState)
        return self.scorer.score([Pair(member, ids) for ids in chunks])

    def score(
        self, pairs: Iterable[Mapping[str, Any]], blend: Mapping[str, float] | None = None
    ) -> list[dict[str, object]]:
        """Score, status and heads of each pair, as the service's answer has them; each distinct text is encoded once.

        A pair has `member` and `candidate`, a text or fields each, and may have `features`. Raises DataError.
        """
        given = list(pairs)
        texts = [self._texts(number, pair) for number, pair in enumerate(given)]
        features = self._read_features(given)
        distinct = list(dict.fromkeys(candidate for _, candidate in texts))
        encoded = dict(zip(distinct, self.encode(distinct), strict=True))
        rows = np.full((len(texts), len(self.scorer.heads)), INVALID, np.float32)
        places: dict[str, list[int]] = {}
        for place, (member, candidate) in enumerate(texts):
            if encoded[candidate] is not None:
                places.setdefault(member, []).append(place)
        for member, own in places.items():
            known = [each for place in own if (each := encoded[texts[place][1]]) is not None]
            rows[own] = self.rows(member, known, features[own])
        return self._answers(rows, blended(finite(rows), blend_weights(self.bundle, blend)))

    def _texts(self, number: int, pair: Mapping[str, Any]) -> tuple[str, str]:
        template = self.bundle.manifest.text.template
        for side in ("member", "candidate"):
            if side not in pair:
                raise DataError(f"pair {number}: {side!r} is missing: give a text or fields")
        try:
            return template.render_member(pair["member"]), template.render_candidate(pair["candidate"])
        except FieldError as error:
            raise DataError(f"pair {number}: {error}") from None

    def _read_features(self, pairs: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        found = self.features.read([pair.get("features") for pair in pairs])
        for number, fault in found.faults.items():
            raise DataError(f"pair {number}: {fault}")
        for number, names in found.unused.items():
            raise DataError(f"pair {number}: feature {names[0]!r} is none of the bundle: leave it out")
        return found.values

    def _answers(self, rows: NDArray[np.float32], scores: NDArray[np.float64]) -> list[dict[str, object]]:
        answers: list[dict[str, object]] = []
        for row, score, status in zip(rows.tolist(), scores.tolist(), statuses(rows), strict=True):
            values = (None if value == UNANSWERED else value for value in row)
            heads = dict(zip(self.scorer.heads, values, strict=True)) if status == "scored" else None
            answers.append({"score": score if heads else None, "status": status, "heads": heads})
        return answers


def open_model(path: Path | str, device: Device = "cpu", threads: int = 1, batch: int | None = None) -> BulkModel:
    """Verify and open a bundle. `batch`: texts, or joined pairs, of one run (default: 1 on a CPU, 64 on a GPU).

    Raises BundleError or DeviceError.
    """
    return opened(Bundle.load(Path(path)), device, threads, batch)


def opened(bundle: Bundle, device: Device, threads: int, batch: int | None) -> BulkModel:
    """Open a bundle that is in memory. Raises BundleError or DeviceError."""
    encoder, scorer = open_encoder(bundle), open_scorer(bundle, device, threads)
    scorer.warm_up()
    check_known_answers(bundle, scorer, encoder, device)
    batch = batch or (1 if resolve_device(device) == "cpu" else GPU_BATCH)
    return BulkModel(bundle, encoder, scorer, batch, Features(bundle.manifest.features))


def blend_weights(bundle: Bundle, blend: Mapping[str, float] | None) -> list[float]:
    """One weight per head, with sum 1. Raises DataError for a head that the bundle does not have."""
    chosen = bundle.manifest.default_blend if blend is None else blend
    names = [head.name for head in bundle.manifest.heads]
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        raise DataError(f"the blend names {unknown[0]!r}, which is no head: the heads are {', '.join(names)}")
    total = sum(chosen.values())
    if not 0 < total < float("inf") or min(chosen.values()) < 0:
        raise DataError("the weights of the blend must be at least 0, and one of them above 0")
    return [chosen.get(name, 0.0) / total for name in names]


def statuses(rows: NDArray[np.float32]) -> list[Status]:
    """The status of each row."""
    found: list[Status] = ["scored"] * len(rows)
    for place in np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist():
        found[place] = "invalid" if np.isnan(rows[place]).any() else "failed"
    return found


def finite(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows with NaN in each that has no probabilities."""
    return np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, np.float32("nan"))
