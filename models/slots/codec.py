"""Slots: one candidate as the split student keeps it; its key, and how it lies in a store. For training and serving.

A key begins with its model's key, so that another model never finds it and all of one model's entries stand together.
An entry carries a checksum over key, shape and numbers: what was damaged, or stands under a wrong key, is not slots.
Knows neither stores nor graphs.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import DamagedEntry

Slots = NDArray[np.float16]
"""[S, d]: one candidate as it is stored."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How many entries a store keeps, and how many bytes they take."""

    entries: int
    bytes: int


MODEL_KEY_BYTES = 8
_CONTENT_BYTES = 16
_MAGIC = b"fsl1"
_SHAPE = struct.Struct("<4sHH")
_HEADER = struct.Struct("<4sHHI")
"""The shape, and the checksum of key, shape and numbers.

CRC-32 and no cryptographic hash: it must find damage, not an attacker, and for 5 KB and less Python computes it without
letting go of the interpreter's lock, which a read of hundreds of entries beside a busy thread would feel.
"""
HEADER_BYTES = _HEADER.size
_NUMBER = np.dtype("<f2")


def model_key(*identity: bytes) -> bytes:
    """Who makes the slots, in 8 bytes: the same only for the same candidate graph, tokenizer and handling of texts."""
    digest = hashlib.blake2b(digest_size=MODEL_KEY_BYTES)
    for part in identity:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def content_key(model: bytes, text: str) -> bytes:
    """Where the slots that a model makes of a candidate's rendered text are kept, 24 bytes."""
    return model + hashlib.blake2b(text.encode(), digest_size=_CONTENT_BYTES, key=model).digest()


def pack(key: bytes, slots: Slots) -> bytes:
    """The entry that is stored under `key`."""
    rows, width = slots.shape
    shape = _SHAPE.pack(_MAGIC, rows, width)
    body = slots.astype(_NUMBER, copy=False).tobytes()
    return shape + _checksum(key, shape, body).to_bytes(4, "little") + body


def unpack(key: bytes, entry: bytes | memoryview) -> Slots:
    """A read-only copy of the slots in `entry`. Raises DamagedEntry unless it is what was packed under `key`."""
    # The header's sizes are compared before the numbers are touched: a damaged length must not be followed.
    if len(entry) < HEADER_BYTES:
        raise DamagedEntry("an entry is shorter than its header")
    magic, rows, width, stated = _HEADER.unpack_from(entry)
    if magic != _MAGIC or len(entry) != HEADER_BYTES + 2 * rows * width:
        raise DamagedEntry("an entry has not the form of slots")
    own = bytes(entry)
    if _checksum(key, own[: _SHAPE.size], memoryview(own)[HEADER_BYTES:]) != stated:
        raise DamagedEntry("an entry does not have its checksum")
    return np.ndarray((rows, width), _NUMBER, own, HEADER_BYTES)


def _checksum(key: bytes, shape: bytes, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(shape, zlib.crc32(key)))
