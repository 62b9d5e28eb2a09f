"""Scoring with an audit log: nothing is scored that cannot be recorded, and each result is recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from models.errors import StoreDown
from models.features import merged
from service.audit.log import AuditLog
from service.audit.record import AuditRecord
from service.observability.timings import Timings
from service.request import Item, ScoringRequest
from service.scoring.blending import ScoringResult
from service.scoring.pipeline import Score
from service.store.interface import Featured, Stored, TextStore


class AuditedScoring:
    """Wraps `inner`. Candidates sent by id are read from the store first, so that the record holds what was scored."""

    def __init__(self, inner: Score, log: AuditLog, store: TextStore) -> None:
        self._inner = inner
        self._log = log
        self._store = store

    async def score(self, request: ScoringRequest, timings: Timings) -> ScoringResult:
        """Score and record. Raises NotRecorded, and the errors of `inner`."""
        self._log.check()
        request = await self._with_contents(request)
        result = await self._inner(request, timings)
        self._log.note(AuditRecord(request, result))
        return result

    async def _with_contents(self, request: ScoringRequest) -> ScoringRequest:
        """The request with stored contents in place of ids alone."""
        ids = [each.id for each in request.candidates if each.content is None]
        if not ids:
            return request
        try:
            stored = iter(await asyncio.to_thread(self._store.get_many, ids))
        except StoreDown:  # scoring will find the same, and give each candidate its status
            return request
        items = [_known(each, next(stored)) if each.content is None else each for each in request.candidates]
        return replace(request, candidates=items)


def _known(sent: Item, stored: Stored | None) -> Item:
    """A candidate that came with its id alone, with what is stored of it."""
    if isinstance(stored, Featured):
        return Item(sent.id, stored.content, merged(stored.features, sent.features))
    return Item(sent.id, stored, sent.features)
