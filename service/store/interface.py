"""What every store can do. The seam between the service and its back ends; how they fail stands in `models.errors`.

Knows no back end. Every method may be called from several threads; none may be called on the event loop unless it
says so, since a back end may wait for a disk or a network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from models.slots.codec import Slots, Usage
from models.template import Fields

Content = str | Fields


class TextStore(Protocol):
    """Candidates by id, as they were sent. What does not fit is refused; nothing is dropped to make room."""

    @property
    def damaged(self) -> int:
        """Entries that were read and were not what had been written; they counted as not there."""
        ...

    def get_many(self, ids: Sequence[str]) -> list[Content | None]:
        """The text or fields under each id; None where there are none, or no more. Raises StoreDown."""
        ...

    def put(self, entries: Mapping[str, Content], ttl_s: float | None = None) -> None:
        """Insert or replace all, for `ttl_s` seconds or for good. Raises NoRoom or StoreDown: then none."""
        ...

    def delete(self, candidate_id: str) -> bool:
        """Forget an id; False when it was not there. Raises StoreDown."""
        ...

    def sweep(self) -> int:
        """Give back the room of what has expired; returns how many. Raises StoreDown."""
        ...

    def usage(self) -> Usage:
        """Entries and bytes; never waits. Raises StoreDown."""
        ...

    def close(self) -> None:
        """Let files and connections go. What was acknowledged is kept."""
        ...


class SlotStore(Protocol):
    """Slots by `models.slots.codec.content_key`. A cache: an entry may be gone at any time, and is never another's.

    A caller that has just put an entry must not count on reading it back.
    """

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        """The slots under each key, read-only; None where there are none."""
        ...

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        """Keep the slots under each key."""
        ...

    def usage(self) -> Usage:
        """Entries and bytes; never waits."""
        ...


class KeptSlots(SlotStore, Protocol):
    """Slots that outlive the process. `put_many` may raise NoRoom as well, and every method StoreDown."""

    @property
    def damaged(self) -> int:
        """Entries that were read and were not what had been written; they counted as not there."""
        ...

    def keep_only(self, models: Collection[bytes]) -> int:
        """Drop every entry whose key does not begin with one of these `model_key`s; returns how many."""
        ...

    def close(self) -> None:
        """Let files and connections go. What was acknowledged is kept."""
        ...
