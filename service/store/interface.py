"""What every store can do: the seam between the service and its back ends. Failures are in `models.errors`.

Knows no back end. Every method may be called from several threads, and none on the event loop unless its docstring
allows it: a back end may wait for a disk or a network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.slots.codec import Slots, Usage
from models.template import Content
from service.request import num_chars

ENTRY_BYTES = 200
"""Estimated memory of an entry beside its content: key, dictionary slot, object headers."""


@dataclass(frozen=True, slots=True)
class Featured:
    """The content of a candidate, with the features that are kept with it."""

    content: Content
    features: Mapping[str, float]


Stored = Content | Featured
"""What is stored of a candidate. Most candidates have no features."""


def content_of(stored: Stored) -> Content:
    """The text or fields alone."""
    return stored.content if isinstance(stored, Featured) else stored


def memory_of(candidate_id: str, stored: Stored | None) -> int:
    """Estimated bytes of a candidate in memory."""
    if isinstance(stored, Featured):
        return memory_of(candidate_id, stored.content) + num_chars(stored.features, with_names=True)
    return ENTRY_BYTES + len(candidate_id) + num_chars(stored, with_names=True)


class TextStore(Protocol):
    """Candidates by id, as they were sent. A full store refuses new entries; it drops none to make room."""

    @property
    def damaged(self) -> int:
        """Entries that failed their checksum when read; they counted as missing."""

    def get_many(self, ids: Sequence[str]) -> list[Stored | None]:
        """What is stored under each id; None where the id is unknown or expired. Raises StoreDown."""

    def put(self, entries: Mapping[str, Stored], ttl_s: float | None = None) -> None:
        """Insert or replace all entries; None: they never expire. Raises NoRoom or StoreDown: then none is stored."""

    def delete(self, candidate_id: str) -> bool:
        """Delete an id; False when it was unknown or expired. Raises StoreDown."""

    def pages(self, size: int) -> Iterator[list[tuple[str, Stored]]]:
        """All entries with their ids, at most `size` at a time; one that changes meanwhile may be missing or old.

        Raises StoreDown. A page may be empty.
        """

    def sweep(self) -> int:
        """Delete expired entries; returns how many. Raises StoreDown."""

    def usage(self) -> Usage:
        """Entries and bytes; never waits. Raises StoreDown."""

    def close(self) -> None:
        """Close files and connections. Acknowledged entries are kept."""


class SlotStore(Protocol):
    """Slots by `models.slots.codec.content_key`. A cache: an entry may disappear at any time, even right after a put.

    It never returns the slots of another key.
    """

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        """The slots under each key, read-only; None where there are none."""

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        """Store the slots under each key."""

    def usage(self) -> Usage:
        """Entries and bytes; never waits."""


class DurableSlotStore(SlotStore, Protocol):
    """Slots that outlive the process. `put_many` may also raise NoRoom, and every method StoreDown."""

    @property
    def damaged(self) -> int:
        """Entries that failed their checksum when read; they counted as missing."""

    def keep_only(self, models: Collection[bytes]) -> int:
        """Drop every entry whose key does not begin with one of these `model_key`s; returns how many."""

    def close(self) -> None:
        """Close files and connections. Acknowledged entries are kept."""
