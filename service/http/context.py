"""What the routes share: limits on what came in, deadlines and quotas. Wired once by `create_app`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from models.errors import NoRoom, StoreDown
from models.template import Content
from service.admission.controller import QuotaExceeded, Quotas
from service.audit.audited import resolved, scored_of
from service.audit.log import AuditLog, CannotRecord
from service.errors import FieldError, Invalid, NotRecorded, QuotaSpent, StoreFull, StoreUnavailable
from service.lifecycle import Lifecycle
from service.observability.metrics import Metrics
from service.request import Item, ScoringRequest
from service.rollout.router import RolloutRouter
from service.scoring.pipeline import ScoringPipeline, ScoringResult
from service.store.interface import TextStore

T = TypeVar("T")
MAX_WRITES = 8
"""Writes to the store under way at once: more would only wait for each other, and for a disk."""


class Desk:
    """The parts that routes talk to, and the checks that the schema cannot express."""

    def __init__(
        self,
        *,
        scoring: ScoringPipeline,
        store: TextStore,
        lifecycle: Lifecycle,
        traffic: RolloutRouter,
        metrics: Metrics,
        quotas: Quotas | None,
        max_candidates: int,
        max_text_chars: int,
        default_deadline_s: float,
        audit: AuditLog | None = None,
    ) -> None:
        self.scoring = scoring
        self._store = store
        self._num_writes = 0
        self.lifecycle = lifecycle
        self.traffic = traffic
        self.metrics = metrics
        self._quotas = quotas
        self._max_candidates = max_candidates
        self._max_text_chars = max_text_chars
        self._default_deadline_s = default_deadline_s
        self.audit = audit

    async def recordable(self, order: ScoringRequest) -> ScoringRequest:
        """The order, ready to be written down once it is scored. Raises NotRecorded."""
        if self.audit is None:
            return order
        try:
            self.audit.check()
        except CannotRecord:
            raise NotRecorded(retry_after_s=1.0) from None
        stored = [each.id for each in order.candidates if each.content is None]
        if not stored:
            return order
        try:
            contents = await asyncio.to_thread(self._store.get_many, stored)
        except StoreDown:  # scoring will find out, and say so of each candidate
            return order
        found = {name: each for name, each in zip(stored, contents, strict=True) if each is not None}
        return resolved(order, found)

    def record(self, order: ScoringRequest, answer: ScoringResult, request_id: str, caller: str) -> None:
        """Have it written down, where there is a log."""
        if self.audit is not None:
            self.audit.note(scored_of(order, answer, request_id, caller))

    def deadline(self, arrived: float, *stated_ms: int | None) -> float:
        """Monotonic seconds; the soonest of what was stated, else the default."""
        stated = [ms / 1000 for ms in stated_ms if ms is not None]
        return arrived + min(stated, default=self._default_deadline_s)

    def charge(self, caller: str, num_pairs: int) -> None:
        """Take a request from its caller's quota. Raises QuotaSpent."""
        if self._quotas is None:
            return
        try:
            self._quotas.take(caller, num_pairs, time.monotonic())
        except QuotaExceeded as refusal:
            raise QuotaSpent(retry_after_s=refusal.retry_after_s) from None

    async def keep(self, entries: Mapping[str, Content], ttl_s: float | None) -> None:
        """Store candidates, all or none. Raises StoreFull or StoreUnavailable."""
        await self._write(lambda: self._store.put(entries, ttl_s))

    async def forget(self, candidate_id: str) -> bool:
        """Forget a candidate; False when there was none. Raises StoreUnavailable."""
        return await self._write(lambda: self._store.delete(candidate_id))

    async def _write(self, write: Callable[[], T]) -> T:
        if self._num_writes >= MAX_WRITES:
            raise StoreUnavailable("too much is being written", retry_after_s=1.0)
        self._num_writes += 1
        try:
            return await asyncio.to_thread(write)
        except NoRoom:
            raise StoreFull from None
        except StoreDown:
            raise StoreUnavailable(retry_after_s=1.0) from None
        finally:
            self._num_writes -= 1

    def check_sizes(self, entries: Sequence[Item], where: str) -> None:
        """Raise Invalid for too many entries, the same id twice, or a text that is too long."""
        if len(entries) > self._max_candidates:
            raise Invalid(errors=[FieldError(where, f"at most {self._max_candidates} entries")])
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            if entry.id in seen:
                raise Invalid(errors=[FieldError(f"{where}/{index}/id", "stands twice")])
            seen.add(entry.id)
            self.check_length(entry, f"{where}/{index}")

    def check_length(self, entry: Item, where: str) -> None:
        """Raise Invalid for a text, or fields, of too many characters."""
        content = entry.content
        if content is None:
            return
        length = len(content) if isinstance(content, str) else sum(len(str(value)) for value in content.values())
        if length > self._max_text_chars:
            raise Invalid(errors=[FieldError(where, f"at most {self._max_text_chars} characters")])


async def _desk(request: Request) -> Desk:  # not async, it would cost a thread hop
    found: Desk = request.app.state.desk
    return found


AtDesk = Annotated[Desk, Depends(_desk)]
