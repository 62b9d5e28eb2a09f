"""What the audit log records of one scored request."""

from __future__ import annotations

from dataclasses import dataclass

from service.request import ScoringRequest
from service.scoring.blending import ScoringResult
from service.store.interface import memory_of


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One scored request; its candidates hold what was scored, also where they were sent by id."""

    request: ScoringRequest
    result: ScoringResult

    @property
    def size(self) -> int:
        """Estimated bytes in memory while it waits."""
        items = (self.request.member, *self.request.candidates)
        return 1000 + sum(memory_of(each.id, each.content) for each in items)
