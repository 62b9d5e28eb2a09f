"""Writes to the candidate store from the event loop: in threads, and few at a time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

from models.errors import NoRoom, StoreDown
from service.errors import StoreFull, StoreUnavailable
from service.store.interface import Stored, TextStore

T = TypeVar("T")
# More concurrent writes would only wait for each other and for the disk.
MAX_WRITES = 8


class BoundedWriter:
    """At most `max_writes` writes at once; a further one raises StoreUnavailable."""

    def __init__(self, store: TextStore, max_writes: int = MAX_WRITES) -> None:
        self._store = store
        self._max_writes = max_writes
        self._num_writes = 0

    async def put(self, contents: Mapping[str, Stored], ttl_s: float | None) -> None:
        """Store candidates, all or none. Raises StoreFull or StoreUnavailable."""
        await self._write(functools.partial(self._store.put, contents, ttl_s))

    async def delete(self, candidate_id: str) -> bool:
        """Delete a candidate; False if there was none. Raises StoreFull (on a full disk) or StoreUnavailable."""
        return await self._write(functools.partial(self._store.delete, candidate_id))

    async def _write(self, write: Callable[[], T]) -> T:
        if self._num_writes >= self._max_writes:
            raise StoreUnavailable("too many writes are in progress", retry_after_s=1.0)
        self._num_writes += 1
        try:
            return await asyncio.to_thread(write)
        except NoRoom as error:
            raise StoreFull(str(error)) from None
        except StoreDown:
            raise StoreUnavailable(retry_after_s=1.0) from None
        finally:
            self._num_writes -= 1
