"""Slots: one candidate as a split model encodes it; its key, and its format in a store. For training and serving.

A key begins with its model's key: no other model finds it, and the entries of one model are contiguous. An entry has a
checksum over key, shape and numbers, which finds damaged and misplaced entries. Knows neither stores nor graphs.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DamagedEntry

Slots = NDArray[Any]
"""[S, d]: one encoded candidate, in f16 or in i8 as its model's graph gives it."""


HALF: np.dtype[Any] = np.dtype(np.float16)


@dataclass(frozen=True, slots=True)
class SlotFormat:
    """What a model's slots look like: [S, d], in f16 or i8."""

    shape: tuple[int, int]
    dtype: np.dtype[Any] = HALF

    def zeros(self, count: int) -> NDArray[Any]:
        """Room for the slots of `count` candidates."""
        return np.zeros((count, *self.shape), self.dtype)

    def fitting(self, found: Sequence[Slots | None]) -> list[Slots | None]:
        """Those that are slots of such a model; None in place of others."""
        shape, dtype = self.shape, self.dtype
        return [each if each is not None and each.shape == shape and each.dtype == dtype else None for each in found]


@dataclass(frozen=True, slots=True)
class Usage:
    """Number and size of a store's entries."""

    entries: int
    bytes: int


MODEL_KEY_BYTES = 8
_CONTENT_BYTES = 16
_SHAPE = struct.Struct("<4sHH")
_HEADER = struct.Struct("<4sHHI")
"""The shape, and the checksum of key, shape and numbers.

CRC-32 and no cryptographic hash: it must find damage, not an attacker. For 5 KB and less Python computes it without
releasing the interpreter's lock; releasing it hundreds of times in one read would cost time beside a busy thread.
"""
HEADER_BYTES = _HEADER.size
_NUMBERS: dict[bytes, np.dtype[Any]] = {b"fsl1": np.dtype("<f2"), b"fsi1": np.dtype("i1")}
"""What an entry's numbers are, by how it begins."""


def model_key(*identity: bytes) -> bytes:
    """8 bytes that identify what makes the slots: candidate graph, tokenizer and handling of texts."""
    digest = hashlib.blake2b(digest_size=MODEL_KEY_BYTES)
    for part in identity:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def content_key(model: bytes, text: str, window: bytes = b"") -> bytes:
    """The key of a model's slots of a candidate's rendered text, 24 bytes. `window` is the tag of an unusual window."""
    digest = hashlib.blake2b(text.encode(), digest_size=_CONTENT_BYTES, key=model, person=window)
    return model + digest.digest()


def chunk_keys(key: bytes, chunks: int) -> list[bytes]:
    """The keys of a text's chunks in order: the first is the text's own `content_key`."""
    further = (hashlib.blake2b(key, digest_size=_CONTENT_BYTES, person=b"#%d" % n).digest() for n in range(1, chunks))
    return [key, *(key[:MODEL_KEY_BYTES] + each for each in further)]


def pack(key: bytes, slots: Slots) -> bytes:
    """The entry that is stored under `key`."""
    rows, width = slots.shape
    magic, number = next(each for each in _NUMBERS.items() if each[1].kind == slots.dtype.kind)
    shape = _SHAPE.pack(magic, rows, width)
    body = slots.astype(number, copy=False).tobytes()
    return shape + _checksum(key, shape, body).to_bytes(4, "little") + body


def unpack(key: bytes, entry: bytes | memoryview) -> Slots:
    """A read-only copy of the slots in `entry`. Raises DamagedEntry unless it was packed under `key`."""
    # Check the header's sizes before reading the numbers: a damaged length must not be trusted.
    if len(entry) < HEADER_BYTES:
        raise DamagedEntry("an entry is shorter than its header")
    magic, rows, width, stated = _HEADER.unpack_from(entry)
    number = _NUMBERS.get(magic)
    if number is None or len(entry) != HEADER_BYTES + number.itemsize * rows * width:
        raise DamagedEntry("an entry does not have the format of slots")
    own = bytes(entry)
    if _checksum(key, own[: _SHAPE.size], memoryview(own)[HEADER_BYTES:]) != stated:
        raise DamagedEntry("an entry does not match its checksum")
    return np.ndarray((rows, width), number, own, HEADER_BYTES)


def _checksum(key: bytes, shape: bytes, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(shape, zlib.crc32(key)))
