"""Which model scores an order while a candidate model is tried on a share of the traffic.

    shadow   the candidate scores a share once more, after its answer; what it says is counted and dropped
    canary   the candidate answers a share

Both models are tallied; `verdict.py` says when the candidate must go, and then it goes at once. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.errors import DeadlinePassed, ServiceError
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.request import ItemStatus, Priority, ScoringRequest
from service.rollout.guardrails import GuardrailLimits, WindowStats, drift, fault_of
from service.scoring.pipeline import ScoringPipeline, ScoringResult

log = logging.getLogger("fitscore")
Mode = Literal["shadow", "canary"]
# Orders that are scored again at once; above it a share is missed, so that shadows never pile up.
MAX_SHADOWS = 8
# In the queue they stand behind every caller's work, and before what is encoded at leisure.
SHADOWS_BEHIND_S = 600.0


@dataclass(eq=False)
class Rollout:
    """A candidate on a share of the traffic, in (0, 1], and what was seen of it and of the live model meanwhile."""

    model: LiveModel
    mode: Mode
    share: float
    live: WindowStats = field(default_factory=WindowStats)
    candidate: WindowStats = field(default_factory=WindowStats)
    _owed: float = 0.0

    def takes_next(self) -> bool:
        """Whether the next order is one of the share: evenly spaced, without chance."""
        self._owed += self.share
        takes = self._owed >= 1 - 1e-9
        self._owed -= takes
        return takes


class RolloutRouter(Collector):
    """Scores orders, each with the model whose turn it is. Also says to Prometheus how a rollout does."""

    def __init__(self, scoring: ScoringPipeline, tolerance: GuardrailLimits) -> None:
        self._scoring = scoring
        self._tolerance = tolerance
        self._shadows: set[asyncio.Task[None]] = set()
        self.rollout: Rollout | None = None
        self.fault: str | None = None
        """Why the last rollout ended, where it ended by itself."""
        self._num_faults = 0

    def begin(self, rollout: Rollout) -> None:
        """Try a candidate from now on, instead of any other."""
        self.rollout, self.fault = rollout, None

    def end(self) -> None:
        """Have the live model alone score from now on."""
        self.rollout = None

    async def score(self, order: ScoringRequest, timings: Timings) -> ScoringResult:
        """As `ScoringPipeline.score`."""
        rollout = self.rollout
        if rollout is None:
            return await self._scoring.score(order, timings)
        takes = rollout.takes_next()
        if rollout.mode == "canary":
            if takes:
                return await self._watched(rollout, rollout.candidate, order, timings, rollout.model)
            return await self._watched(rollout, rollout.live, order, timings)
        if not takes or len(self._shadows) >= MAX_SHADOWS:
            return await self._scoring.score(order, timings)
        began = time.monotonic()
        answer = await self._watched(rollout, rollout.live, order, timings)
        time_allowed = order.deadline - began
        again = replace(
            order,
            deadline=time.monotonic() + time_allowed,
            priority=Priority.sheddable,
            priority_penalty_s=SHADOWS_BEHIND_S,
        )
        task = asyncio.create_task(self._score_again(rollout, again))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)
        return answer

    async def _score_again(self, rollout: Rollout, order: ScoringRequest) -> None:
        with suppress(ServiceError):  # refused for want of capacity, or counted
            try:
                await self._watched(rollout, rollout.candidate, order, Timings(), rollout.model)
            except ServiceError:
                raise
            except Exception as error:  # nobody waits for it; it was counted
                log.warning("a shadow failed: %s", type(error).__name__)

    async def _watched(
        self,
        rollout: Rollout,
        tally: WindowStats,
        order: ScoringRequest,
        timings: Timings,
        model: LiveModel | None = None,
    ) -> ScoringResult:
        scores: list[float] = []
        failed = True
        try:
            answer = await self._scoring.score(order, timings, model)
            pairs = zip(answer.scores.tolist(), answer.statuses, strict=True)
            scores = [score for score, status in pairs if status is ItemStatus.scored]
            failed = ItemStatus.failed in answer.statuses
            return answer
        except (asyncio.CancelledError, ServiceError) as error:
            failed = isinstance(error, DeadlinePassed)
            raise
        finally:
            if scores or failed:  # what was refused, or had nothing to score, says nothing of the model
                tally.add(scores, _model_seconds(timings), failed=failed)
                self._judge(rollout)

    def _judge(self, rollout: Rollout) -> None:
        fault = fault_of(rollout.live, rollout.candidate, self._tolerance)
        if fault is None or self.rollout is not rollout:
            return
        self.end()
        self.fault = f"{rollout.mode} of version {rollout.model.version} ended: it {fault}"
        self._num_faults += 1
        log.error("%s", self.fault)

    async def stop(self) -> None:
        """Let go of what nobody waits for."""
        self.end()
        for task in self._shadows:
            task.cancel()
        await asyncio.gather(*self._shadows, return_exceptions=True)

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's `Collector`. Versions come from bundles, and no more than two are shown."""
        labels = ["version", "stage"]
        requests = CounterMetricFamily("fitscore_version_requests", "Requests of a rollout", labels=labels)
        failed = CounterMetricFamily("fitscore_version_failed", "Those with a failure", labels=labels)
        seconds = CounterMetricFamily("fitscore_version_model_seconds", "Their time on the model", labels=labels)
        share = GaugeMetricFamily("fitscore_rollout_share", "Share of the traffic", labels=labels)
        found = GaugeMetricFamily("fitscore_rollout_psi", "Drift of the candidate's scores", labels=labels)
        rollout, live = self.rollout, self._scoring.model
        if rollout is not None and live is not None:
            tried = [rollout.model.version, rollout.mode]
            for each, tally in (([live.version, "live"], rollout.live), (tried, rollout.candidate)):
                requests.add_metric(each, tally.requests)
                failed.add_metric(each, tally.failed)
                seconds.add_metric(each, tally.seconds)
            share.add_metric(tried, rollout.share)
            if sum(rollout.live.bins) and sum(rollout.candidate.bins):
                found.add_metric(tried, drift(rollout.live.bins, rollout.candidate.bins))
        yield from (requests, failed, seconds, share, found)
        yield CounterMetricFamily("fitscore_rollouts_failed", "Rollouts that ended by themselves", self._num_faults)


def _model_seconds(timings: Timings) -> float:
    """Time that a model's own runs took: both models wait in one queue, so waiting says nothing of either."""
    return timings.stages.get("encode", 0.0) + timings.stages.get("model", 0.0)
