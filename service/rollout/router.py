"""Which model scores a request while a candidate model is rolled out on a share of the traffic.

    shadow   the candidate scores a share once more, after the response; its scores are counted and dropped
    canary   the candidate scores a share

A share is a share of the members: one member always gets the same model.
Both models are watched; a candidate that exceeds the guardrails is ended at once. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace

import orjson

from service.errors import DeadlinePassed, ServiceError
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.registry.swap import CurrentModel, Rollout
from service.request import Item, ItemStatus, Priority, ScoringRequest
from service.rollout.guardrails import WindowStats, fault_of
from service.scoring.blending import ScoringResult
from service.scoring.pipeline import ScoringPipeline
from service.settings import RolloutSettings

log = logging.getLogger("fitscore")
# Shadows that run at once; further ones are skipped, so that they never pile up.
MAX_SHADOWS = 8
# Shadows come after every request in the queue, and before background encoding.
SHADOW_PENALTY_S = 600.0


@dataclass(eq=False)
class Comparison:
    """A rollout, and what was measured of both models since it began."""

    rollout: Rollout
    live: WindowStats = field(default_factory=WindowStats)
    candidate: WindowStats = field(default_factory=WindowStats)

    def takes(self, member: Item) -> bool:
        """Whether a member belongs to the share. The same member always gets the same answer, in every process.

        A larger share of the same model keeps the members of a smaller one. Another version takes other members.
        """
        model = self.rollout.model
        return place_of(member, f"{model.name}/{model.version}") < self.rollout.share


def place_of(member: Item, salt: str) -> float:
    """A number in [0, 1) that looks random: by the member's id, or else by its content."""
    identity = ["id", member.id] if member.id else ["content", member.content]
    raw = orjson.dumps([salt, identity], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(raw, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


class RolloutRouter:
    """Wraps the scoring pipeline: each request goes to the live model or to the candidate."""

    def __init__(self, pipeline: ScoringPipeline, current: CurrentModel, limits: RolloutSettings) -> None:
        self._pipeline = pipeline
        self._current = current
        self._limits = limits
        self._shadows: set[asyncio.Task[None]] = set()
        self._comparison: Comparison | None = None
        self.num_faults = 0

    def score(self, request: ScoringRequest, timings: Timings) -> Awaitable[ScoringResult]:
        comparison = self.comparison()
        if comparison is None:
            return self._pipeline.score(request, timings)
        return self._score_during_rollout(comparison, request, timings)

    async def _score_during_rollout(
        self, comparison: Comparison, request: ScoringRequest, timings: Timings
    ) -> ScoringResult:
        takes = comparison.takes(request.member)
        if comparison.rollout.mode == "canary":
            return await self._watched(comparison, request, timings, candidate=takes)
        if not takes or len(self._shadows) >= MAX_SHADOWS:
            return await self._pipeline.score(request, timings)
        began = time.monotonic()
        result = await self._watched(comparison, request, timings, candidate=False)
        shadow = replace(
            request,
            deadline=time.monotonic() + request.deadline - began,
            priority=Priority.sheddable,
            priority_penalty_s=SHADOW_PENALTY_S,
        )
        task = asyncio.create_task(self._score_shadow(comparison, shadow))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)
        return result

    @property
    def live(self) -> LiveModel | None:
        """The live model."""
        return self._current.live

    def comparison(self) -> Comparison | None:
        """The comparison of the present rollout, if there is one."""
        rollout = self._current.rollout
        if rollout is None:
            self._comparison = None
        elif self._comparison is None or self._comparison.rollout is not rollout:
            self._comparison = Comparison(rollout)
        return self._comparison

    async def _score_shadow(self, comparison: Comparison, request: ScoringRequest) -> None:
        try:
            await self._watched(comparison, request, Timings(), candidate=True)
        except ServiceError:  # rejected by admission, or counted
            pass
        except Exception as error:  # counted; no request waits for it
            log.warning("a shadow failed: %s", type(error).__name__)

    async def _watched(
        self, comparison: Comparison, request: ScoringRequest, timings: Timings, *, candidate: bool
    ) -> ScoringResult:
        """Score with one of both models, and count how that went."""
        stats, model = comparison.live, None
        if candidate:
            stats, model = comparison.candidate, comparison.rollout.model
        scores: list[float] = []
        failed = True
        try:
            result = await self._pipeline.score(request, timings, model)
            pairs = zip(result.scores.tolist(), result.statuses, strict=True)
            scores = [score for score, status in pairs if status is ItemStatus.scored]
            failed = ItemStatus.failed in result.statuses
            return result
        except (asyncio.CancelledError, ServiceError) as error:
            failed = isinstance(error, DeadlinePassed)
            raise
        finally:
            if scores or failed:  # a rejected request, or one without anything to score, shows nothing of the model
                stats.add(scores, _model_seconds(timings), failed=failed)
                self._judge(comparison)

    def _judge(self, comparison: Comparison) -> None:
        fault = fault_of(comparison.live, comparison.candidate, self._limits)
        rollout = comparison.rollout
        if fault is None or self._current.rollout is not rollout:
            return
        sentence = f"{rollout.mode} of version {rollout.model.version} ended: it {fault}"
        self._current.end(sentence)
        self.num_faults += 1
        log.error("%s", sentence)

    async def stop(self) -> None:
        self._current.end()
        for task in self._shadows:
            task.cancel()
        await asyncio.gather(*self._shadows, return_exceptions=True)


def _model_seconds(timings: Timings) -> float:
    """Seconds of the model's own runs. Both models share one queue, so waiting shows nothing of either."""
    return timings.stages.get("encode", 0.0) + timings.stages.get("model", 0.0)
