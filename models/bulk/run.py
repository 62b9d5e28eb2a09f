"""Scores a file of pairs: read -> encode each distinct candidate once -> score by member -> write.

The executor decides where the model runs; this process alone reads and writes. A run that is started again goes on
where it was. Texts of the file are kept in memory, each once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.bulk.checkpoint import Checkpoint, open_checkpoint
from models.bulk.executors import LOCAL, Executor
from models.bulk.model import INVALID, BulkModel, Encoded, blend_weights, finite, opened
from models.bulk.output import Scores, check_output, write_scores
from models.bulk.pairs import Pairs, read_pairs, tables
from models.bundle.files import Bundle
from models.features import Features
from models.heads import blended
from models.loading import graph_key, graphs_for
from models.runtime.session import Device
from models.slots.codec import Slots, chunk_keys, content_key
from models.slots.lmdb_file import SlotFile

UNIT = 2048
"""Pairs of one unit of work: scored, and written, at once."""
TEXTS = 64
"""Candidates that are encoded, and written, at once: what a kill can cost."""
LOOKED_UP = 4096
"""Candidates that are looked up at once."""


@dataclass(frozen=True)
class Order:
    """A file of pairs, the bundle that scores it, and where the scores go. `columns` gives columns other names.

    `batch`: texts of one model run; see `models.bulk.model`. `blend`: weights of heads, instead of the bundle's own.
    """

    bundle: Path
    pairs: Path
    out: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    blend: Mapping[str, float] | None = None
    device: Device = "cpu"
    threads: int = 1
    batch: int | None = None


@dataclass(frozen=True)
class Done:
    """Pairs of the file, those that have a score, candidates that were encoded, and pairs that were scored earlier."""

    pairs: int
    scored: int
    encoded: int
    resumed: int


def score_file(order: Order, executor: Executor = LOCAL) -> Done:
    """Score the pairs and write them. Raises BundleError, DeviceError, UserError or StoreError."""
    bundle = Bundle.load(order.bundle)
    heads = [head.name for head in bundle.manifest.heads]
    weights = blend_weights(bundle, order.blend)
    check_output(order.out, next(tables(order.pairs, order.columns)), heads)
    pairs = read_pairs(
        tables(order.pairs, order.columns), bundle.manifest.text.template, Features(bundle.manifest.features)
    )
    checkpoint = open_checkpoint(order.out.with_name(order.out.name + ".partial"), _stamp(order, bundle))
    try:
        work = _Work(bundle, pairs, checkpoint, partial(opened, bundle, order.device, order.threads, order.batch))
        encoded = work.encode(executor, order.device)
        resumed = work.score(executor)
        rows = work.rows(len(heads))
        scores = Scores(rows, blended(finite(rows), weights), heads)
        write_scores(order.out, checkpoint.folder, tables(order.pairs, order.columns), scores)
        checkpoint.remove()
    finally:
        checkpoint.close()
    return Done(len(pairs), int(np.isfinite(rows).all(axis=1).sum()), encoded, resumed)


def _stamp(order: Order, bundle: Bundle) -> dict[str, str]:
    """What the rows depend on."""
    with order.pairs.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    how = f"{order.device}, batch {order.batch}, units of {UNIT}"
    return {
        "bundle": bundle.digest,
        "file of pairs": digest,
        "mapping": repr(sorted(order.columns.items())),
        "way": how,
    }


@dataclass(frozen=True, eq=False)
class _MemberPairs:
    """Pairs of one member: its text, the candidates, and their features f32[candidates, features]."""

    member: str
    candidates: list[Encoded]
    features: NDArray[np.float32]


class _Work:
    """The units of a file, and the candidates that they need."""

    def __init__(
        self, bundle: Bundle, pairs: Pairs, checkpoint: Checkpoint, open_worker: Callable[[], BulkModel]
    ) -> None:
        self._bundle = bundle
        self._pairs = pairs
        self._checkpoint = checkpoint
        self._open_worker = open_worker
        # Stable: the pairs of a member keep the order of the file.
        self._order = np.argsort(pairs.member_of, kind="stable")
        self._ids: list[Encoded | None] = []
        self._file: SlotFile | None = None
        self._keys: list[bytes] = []

    def encode(self, executor: Executor, device: Device) -> int:
        """Encode the candidates that no earlier run has encoded; returns how many."""
        texts = self._pairs.candidates
        if self._bundle.manifest.kind == "cross":
            self._ids = self._open_worker().encode(texts)
            return len(texts)
        model = graph_key(self._bundle, graphs_for(self._bundle, device)["candidate"])
        self._keys = [content_key(model, text) for text in texts]
        self._file = file = self._checkpoint.slots(len(texts))
        encoded = 0
        with tqdm(total=len(texts), desc="encode", unit="text") as bar:
            for numbers, slots in executor.map(partial(_encoder, self._open_worker), self._unencoded(file, bar)):
                made = [(self._keys[at], each) for at, each in zip(numbers, slots, strict=True) if each is not None]
                file.put_many({key: chunk for text, each in made for key, chunk in _by_key(text, each)})
                encoded += len(made)
                bar.update(len(numbers))
        return encoded

    def _unencoded(self, file: SlotFile, bar: tqdm[Any]) -> Iterator[tuple[list[int], list[str]]]:
        texts = self._pairs.candidates
        for start in range(0, len(texts), LOOKED_UP):
            known = file.get_many(self._keys[start : start + LOOKED_UP])
            missing = [start + at for at, slots in enumerate(known) if slots is None]
            bar.update(len(known) - len(missing))
            missing.sort(key=lambda number: len(texts[number]))  # a batch is padded to its longest text
            for first in range(0, len(missing), TEXTS):
                numbers = missing[first : first + TEXTS]
                yield numbers, [texts[number] for number in numbers]

    def score(self, executor: Executor) -> int:
        """Score the units that no earlier run has scored; returns how many pairs were scored by then."""
        resumed = sum(len(self._unit(unit)) for unit in range(self._units) if self._checkpoint.has(unit))
        with tqdm(total=len(self._pairs), initial=resumed, desc="score", unit="pair") as bar:
            for (unit, readable), found in executor.map(partial(_scorer, self._open_worker), self._unscored()):
                rows = np.full((len(self._unit(unit)), found.shape[1]), INVALID, np.float32)
                rows[readable] = found
                self._checkpoint.finish(unit, rows)
                bar.update(len(rows))
        return resumed

    @property
    def _units(self) -> int:
        return -(-len(self._pairs) // UNIT)

    def _unit(self, unit: int) -> NDArray[np.intp]:
        """The rows of the file that a unit scores, by member."""
        return self._order[unit * UNIT : (unit + 1) * UNIT]

    def _unscored(self) -> Iterator[tuple[tuple[int, NDArray[np.bool_]], list[_MemberPairs]]]:
        """Number of a unit and which of its pairs have a readable candidate; those pairs by member."""
        for unit in range(self._units):
            if self._checkpoint.has(unit):
                continue
            rows = self._unit(unit)
            candidates = self._encoded(self._pairs.candidate_of[rows])
            readable = np.array([each is not None for each in candidates])
            blocks: dict[int, tuple[list[Encoded], list[int]]] = {}
            for row, each in zip(rows.tolist(), candidates, strict=True):
                if each is not None:
                    own = blocks.setdefault(int(self._pairs.member_of[row]), ([], []))
                    own[0].append(each)
                    own[1].append(row)
            members, features = self._pairs.members, self._pairs.features
            yield (
                (unit, readable),
                [_MemberPairs(members[at], encoded, features[places]) for at, (encoded, places) in blocks.items()],
            )

    def _encoded(self, numbers: NDArray[np.int32]) -> Sequence[Encoded | None]:
        if self._file is None:
            return [self._ids[number] for number in numbers]
        distinct, chunks = list(dict.fromkeys(numbers.tolist())), self._bundle.manifest.text.chunks
        keys = [key for number in distinct for key in chunk_keys(self._keys[number], chunks)]
        found = iter(self._file.get_many(keys))
        # A text has the keys of as many chunks as it was cut into.
        texts = [tuple(slots for slots in islice(found, chunks) if slots is not None) for _ in distinct]
        known = dict(zip(distinct, texts, strict=True))
        return [known[number] or None for number in numbers.tolist()]

    def rows(self, heads: int) -> NDArray[np.float32]:
        """All rows in the order of the file, f32[pairs, heads]. Call it when every unit is scored."""
        rows = np.empty((len(self._pairs), heads), np.float32)
        for unit in range(self._units):
            found = self._checkpoint.rows(unit)
            assert found is not None
            rows[self._unit(unit)] = found
        if self._file is not None:
            self._file.close()
        return rows


def _by_key(text: bytes, chunks: Encoded) -> Iterator[tuple[bytes, Slots]]:
    """The slots of each chunk of a text, by their keys."""
    return zip(chunk_keys(text, len(chunks)), chunks, strict=True)


def _encoder(open_worker: Callable[[], BulkModel]) -> Callable[[list[str]], list[Encoded | None]]:
    return open_worker().encode


def _scorer(open_worker: Callable[[], BulkModel]) -> Callable[[list[_MemberPairs]], NDArray[np.float32]]:
    model = open_worker()

    def score(blocks: list[_MemberPairs]) -> NDArray[np.float32]:
        none = np.empty((0, len(model.scorer.heads)), np.float32)
        return np.concatenate([none, *(model.rows(each.member, each.candidates, each.features) for each in blocks)])

    return score
