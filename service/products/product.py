"""A product, and the products of a process by name. Wiring is in `wiring.py`; no behaviour of HTTP is known here."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from service.admission.controller import Admission
from service.admission.quotas import Quotas
from service.encoding.parts import EncodingParts
from service.errors import DeadlinePassed, Incomplete, NotFound, NotReady, Overloaded, QuotaSpent, ServiceError
from service.observability.metrics import OUTCOMES
from service.observability.timings import Timings
from service.products.filling import FillThenActivate, Source
from service.registry.loading import LiveModel
from service.registry.swap import ModelRegistry
from service.request import Item, ItemStatus, ScoringRequest
from service.rollout.router import RolloutRouter
from service.scoring.blending import ScoringResult
from service.scoring.insistence import refuse_undeclared_features
from service.scoring.pipeline import Score
from service.store.writes import BoundedWriter


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


@dataclass(frozen=True, eq=False, slots=True)
class Product:
    """A named bundle and all that belongs to it alone.

    `scoring` is the pipeline with its wrappers, and `scoring_both` the rollout router with its own, which scores while
    there is a rollout.
    """

    name: str
    models: ModelRegistry
    router: RolloutRouter
    scoring: Score
    scoring_both: Score
    encoding: EncodingParts
    store: BoundedWriter
    quotas: Quotas | None
    admission: Admission
    filling: FillThenActivate
    counts: ProductCounts = field(default_factory=ProductCounts)

    async def activate(self, version: str, fill: Source | None = None) -> LiveModel:
        """Make a version live, at once or, with a source to fill it from, as soon as its slots are filled.

        An activation without a fill ends one that runs. Raises NotFound or Conflict.
        """
        if fill is None:
            await self.filling.stop()
            return await self.models.activate(version)
        model = await self.models.at_hand(version)
        self.filling.begin(model, fill, self.models.go_live)
        return model

    async def roll_back(self, version: str) -> LiveModel:
        """Replace this version by the one before it, and end a fill. Raises Conflict."""
        await self.filling.stop()
        return await self.models.roll_back(version)

    def check_features(self, candidates: Sequence[Item]) -> None:
        """Raise Invalid for features that no bundle of this product declares, NotReady as long as none is loaded."""
        current = self.models.current
        if current.live is None and any(each.features for each in candidates):
            raise NotReady("no model is loaded yet", retry_after_s=1.0)
        refuse_undeclared_features(current.feature_names, candidates)

    def _runs(self, request: ScoringRequest) -> int:
        """How often each candidate is scored: an explanation scores it again without each feature."""
        live = self.models.current.live
        return 1 + (len(live.features) if request.explain and live is not None else 0)

    async def score(self, request: ScoringRequest, timings: Timings) -> ScoringResult:
        """Charge the caller, score and count. A refused request is not charged. Raises the errors of `scoring`."""
        num_pairs = len(request.candidates) * self._runs(request)
        try:
            if self.quotas is not None:
                self.quotas.take(request.caller, num_pairs, time.monotonic())
            score = self.scoring if self.models.current.rollout is None else self.scoring_both
            result = await score(request, timings)
        except ServiceError as error:
            self.counts.failed(error)
            if self.quotas is not None and _is_refusal(error, timings):
                self.quotas.give_back(request.caller, num_pairs, time.monotonic())
            raise
        except asyncio.CancelledError:
            self.counts.requests["cancelled"] += 1
            raise
        except Exception:
            self.counts.requests["error"] += 1
            raise
        self.counts.scored(result, timings.stages.get("model", 0.0))
        return result


def _is_refusal(error: ServiceError, timings: Timings) -> bool:
    """Whether a request was charged and got no scores for want of capacity.

    One whose deadline passed during its work has used capacity.
    """
    if isinstance(error, QuotaSpent):
        return False
    return not (isinstance(error, DeadlinePassed | Incomplete) and "admit" in timings.stages)


class Products:
    """All products of a process; the first one is the default."""

    def __init__(self, products: Sequence[Product]) -> None:
        self.default = products[0]
        self._by_name = {product.name: product for product in products}

    def __iter__(self) -> Iterator[Product]:
        return iter(self._by_name.values())

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._by_name)

    def named(self, name: str | None) -> Product:
        """The product with this name, the default one for None. Raises NotFound."""
        if name is None:
            return self.default
        product = self._by_name.get(name)
        if product is None:
            raise NotFound("no bundle has this name; GET /v1/models lists them")
        return product

    def named_or_default(self, name: str | None) -> Product:
        """The product with this name, else the default one: callers of other APIs name models of their own."""
        return self._by_name.get(name or "", self.default)
