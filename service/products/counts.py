"""What each product did since the process began, for its metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from service.errors import DeadlinePassed, Overloaded, QuotaSpent, ServiceError
from service.observability.metrics import OUTCOMES
from service.request import ItemStatus
from service.scoring.blending import ScoringResult


@dataclass(eq=False, slots=True)
class ProductCounts:
    """Requests by outcome, candidates by status, and seconds of the model."""

    requests: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)))
    pairs: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(ItemStatus, 0)))
    model_s: float = 0.0

    def scored(self, result: ScoringResult, model_s: float) -> None:
        """Count a request that was answered with scores."""
        self.requests["partial" if result.degraded else "ok"] += 1
        self.pairs.update(result.statuses)
        self.model_s += model_s

    def failed(self, error: ServiceError) -> None:
        """Count a request that was answered with an error."""
        kinds = ((Overloaded, "overload"), (QuotaSpent, "refused"), (DeadlinePassed, "deadline"))
        found = next((outcome for kind, outcome in kinds if isinstance(error, kind)), None)
        usual = "unavailable" if error.status == 503 else "invalid" if error.status < 500 else "error"
        self.requests[found or usual] += 1
