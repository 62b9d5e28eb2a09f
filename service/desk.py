"""What the routes share: limits on what came in, deadlines and quotas. Wired once by `create_app`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request

from service.admission import QuotaExceeded, Quotas
from service.candidates import CandidateStore
from service.errors import FieldError, Invalid, QuotaSpent
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.scoring import Scoring
from service.texts import Entry


class Desk:
    """The parts that routes talk to, and the checks that the schema cannot express."""

    def __init__(
        self,
        *,
        scoring: Scoring,
        store: CandidateStore,
        lifecycle: Lifecycle,
        metrics: Metrics,
        quotas: Quotas | None,
        max_candidates: int,
        max_text_chars: int,
        default_deadline_s: float,
    ) -> None:
        self.scoring = scoring
        self.store = store
        self.lifecycle = lifecycle
        self.metrics = metrics
        self._quotas = quotas
        self._max_candidates = max_candidates
        self._max_text_chars = max_text_chars
        self._default_deadline_s = default_deadline_s

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

    def check_sizes(self, entries: Sequence[Entry], where: str) -> None:
        """Raise Invalid for too many entries, the same id twice, or a text that is too long."""
        if len(entries) > self._max_candidates:
            raise Invalid(errors=[FieldError(where, f"at most {self._max_candidates} entries")])
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            if entry.id in seen:
                raise Invalid(errors=[FieldError(f"{where}/{index}/id", "stands twice")])
            seen.add(entry.id)
            self.check_length(entry, f"{where}/{index}")

    def check_length(self, entry: Entry, where: str) -> None:
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
