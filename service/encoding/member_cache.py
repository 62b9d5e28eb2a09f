"""States of members by content, bounded by bytes, least recently used out first. Any thread may call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from moka_py import Moka

from models.scorers.split import MemberState
from service.store.interface import ENTRY_BYTES


class MemberCache:
    """Knows neither texts nor models: a key identifies both."""

    def __init__(self, max_bytes: int) -> None:
        self._cache: Moka[bytes, MemberState] = Moka(max_bytes, weigher=_weight, policy="lru")
        self.get: Callable[[bytes], MemberState | None] = self._cache.get

    async def keep(self, states: Mapping[bytes, MemberState]) -> None:
        for key, state in states.items():
            self._cache.set(key, state)


def _weight(key: bytes, state: MemberState) -> int:
    return len(key) + state.nbytes + ENTRY_BYTES
