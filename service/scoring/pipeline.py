"""The path of a request: admit -> prepare -> score -> blend. The one place where the service's parts meet."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.admission.controller import Admission, NoCapacity
from service.admission.cost_estimate import CostEstimate, estimate_cost
from service.batching.deadline_queue import QueueClosed
from service.batching.engine import Engine, EngineDead
from service.batching.jobs import Job, JobResult, NoResult
from service.batching.latency_correction import LatencyCorrection
from service.encoding.background import BackgroundEncoder, BackgroundFull
from service.encoding.split_inputs import SplitInputs
from service.encoding.tokenization import EmptyMember, Prepared, Texts
from service.errors import DeadlinePassed, FieldError, Invalid, NotReady, Overloaded
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.registry.operations import Rows, SplitOperations
from service.request import Item, ItemStatus, ScoringRequest

T = TypeVar("T")
# How often a request waits for its turn on the event loop: its connection, its bytes, the door; read, encoded, scored.
LOOP_PASSES = 6
# Seconds to look up or tokenise a text, until some have been.
USUAL_PREPARE_S = 5e-5
# Statuses that a later try, or more time, would change: with one of them an answer is degraded.
_DEGRADED = {ItemStatus.failed, ItemStatus.not_scored, ItemStatus.cold, ItemStatus.store_down}
_OF_NO_RESULT = {NoResult.failed: ItemStatus.failed, NoResult.late: ItemStatus.not_scored}
# Of these there is no text to score, and more time would not change that.
_UNSCORABLE = {ItemStatus.unknown_candidate, ItemStatus.invalid, ItemStatus.store_down}


@dataclass(frozen=True, slots=True, eq=False)
class ScoringResult:
    """In the order of the candidates; NaN where a status says that there is no score.

    `rows` f32[candidates, heads] are the heads' probabilities, `scores` f64[candidates] their blend.
    """

    model: LiveModel
    statuses: list[ItemStatus]
    rows: Rows
    scores: NDArray[np.float64]

    @property
    def degraded(self) -> bool:
        """Whether a candidate that could have been scored was not."""
        return not _DEGRADED.isdisjoint(self.statuses)


# What the pipeline and its wrappers (rollout, audit) offer.
Score = Callable[[ScoringRequest, Timings], Awaitable[ScoringResult]]


class ScoringPipeline:
    """Scores orders with the model that is live when they come."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        texts: Texts,
        split: SplitInputs,
        loop_lag: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._engine = engine
        self._loop_lag = loop_lag
        self._admission = admission
        self._texts = texts
        self._split = split
        self._tokenizer_thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._preparing_s = 0.0
        self._prepare_pace = LatencyCorrection(USUAL_PREPARE_S)
        self.model: LiveModel | None = None

    def use(self, model: LiveModel) -> None:
        """Score requests that come from now on with this model; earlier ones keep the one they began with."""
        self.model = model
        self._split.ahead.clear()

    @property
    def ahead(self) -> BackgroundEncoder:
        """Candidates that wait to be encoded while nothing else is to do."""
        return self._split.ahead

    def backlog_seconds(self) -> float:
        """Predicted seconds of accepted work: what is being prepared, waits or runs."""
        return self._engine.backlog_seconds() + self._preparing_s

    def wait_seconds(self) -> float:
        """Predicted seconds that new work waits: for the backlog, and each time that it needs the event loop.

        Behind a loop that can't keep up, the backlog alone looks small.
        """
        return self.backlog_seconds() + LOOP_PASSES * self._loop_lag()

    async def score(self, order: ScoringRequest, timings: Timings, candidate: LiveModel | None = None) -> ScoringResult:
        """Score an order with the live model, or with a candidate for its place.

        Raises the errors of `service.errors`; cancelling this frees the order's place.
        """
        model = candidate or self.model
        if model is None:
            raise NotReady("no model is loaded yet", retry_after_s=1.0)
        arrived = time.monotonic()
        weights = blend_weights(model, order.blend)
        guess = estimate_cost(model, order, arrived, self._prepare_pace.factor(arrived))
        self._admit(order, guess, arrived)
        timings.lap("admit")
        try:
            prepared = await self._prepare(model, order, guess, timings)
            result = await self._run(prepared, arrived, order)
        except (EngineDead, QueueClosed):
            raise NotReady("the model cannot be run here any more", retry_after_s=5.0) from None
        timings.lap("queue")
        timings.split("queue", "model", result.model_s)
        statuses, rows = settle(prepared, result.outcomes, (len(order.candidates), len(model.heads)))
        if set(statuses) - _UNSCORABLE == {ItemStatus.not_scored}:
            raise DeadlinePassed
        return ScoringResult(model, statuses, rows, rows.astype(np.float64) @ weights)

    def _admit(self, order: ScoringRequest, guess: CostEstimate, now: float) -> None:
        """Raise Overloaded or DeadlinePassed unless the order fits."""
        if order.deadline <= now:
            raise DeadlinePassed
        wait_s = self.wait_seconds()
        try:
            self._admission.admit(
                allowed_s=self._admission.allowed_s(order.priority, order.deadline - now),
                backlog_s=wait_s,
                cost_s=guess.prepare_s + guess.model_s + min(guess.turn_s, wait_s),
            )
        except NoCapacity as refusal:
            raise Overloaded(retry_after_s=refusal.retry_after_s, allowed_s=refusal.allowed_s) from None

    async def _prepare(
        self, model: LiveModel, order: ScoringRequest, guess: CostEstimate, timings: Timings
    ) -> Prepared:
        operations = model.operations
        try:
            if isinstance(operations, SplitOperations):
                found = await self._read(order, guess, lambda: self._split.look_up(model, operations, order))
                timings.lap("lookup")
                with self._expecting(guess.score_s):
                    return await self._split.prepare(
                        operations, found, order.deadline, timings, order.priority_penalty_s
                    )
            pairs = functools.partial(self._texts.pairs, model, operations, order.member, order.candidates)
            prepared = await self._read(order, guess, pairs)
            timings.lap("tokenize")
            return prepared
        except EmptyMember:
            raise Invalid("the member has no text", errors=[FieldError("/member", "has no text")]) from None

    async def _read(self, order: ScoringRequest, guess: CostEstimate, work: Callable[[], T]) -> T:
        """What `work` makes of an order's texts on the tokenizer's thread; DeadlinePassed when its turn is too late."""

        def timed() -> tuple[T, float]:
            began = time.monotonic()
            if began >= order.deadline:
                raise DeadlinePassed
            return work(), time.monotonic() - began

        with self._expecting(guess.prepare_s + guess.model_s):
            found, seconds = await asyncio.get_running_loop().run_in_executor(self._tokenizer_thread, timed)
        self._prepare_pace.note(time.monotonic(), predicted=1 + len(order.candidates), measured=seconds)
        return found

    @contextmanager
    def _expecting(self, seconds: float) -> Iterator[None]:
        """Until the queue knows what is coming, the guess stands for it: admission must not be blind here."""
        self._preparing_s += seconds
        try:
            yield
        finally:
            self._preparing_s -= seconds

    async def _run(self, prepared: Prepared, arrived: float, order: ScoringRequest) -> JobResult:
        if not prepared.payloads:
            return JobResult((), 0.0, 0.0)
        work = Job.of(
            prepared.operation,
            prepared.payloads,
            prepared.lengths,
            arrived=arrived,
            deadline=order.deadline,
            priority_penalty_s=order.priority_penalty_s,
        )
        return await self._engine.submit(work)

    def check_place(self, num_candidates: int) -> None:
        """Raise Overloaded unless so many candidates may wait to be encoded ahead."""
        model = self.model
        if model is None or not isinstance(model.operations, SplitOperations):
            return
        try:
            share_s = model.operations.background.batch_policy.unit_cost(model.encoder.longest_candidate)
            self.ahead.check_place(num_candidates, share_s)
        except BackgroundFull as refusal:
            raise Overloaded(retry_after_s=refusal.retry_after_s) from None

    async def encode_ahead(self, candidates: Sequence[Item]) -> None:
        """Have candidates encoded before anybody asks for them, where the model can."""
        model = self.model
        if model is not None and isinstance(model.operations, SplitOperations):
            await self._split.encode_ahead(model, model.operations, candidates, self._tokenizer_thread)

    def close(self) -> None:
        """Let the threads go."""
        self._tokenizer_thread.shutdown(wait=False, cancel_futures=True)
        self._split.close()


def blend_weights(model: LiveModel, blend: Mapping[str, float] | None) -> list[float]:
    """One weight for each head, adding up to 1. Raises Invalid for a head that the model does not have."""
    chosen = model.default_blend if blend is None else blend
    if not set(chosen) <= set(model.heads):
        raise Invalid(
            f"this model's heads are {', '.join(model.heads)}", errors=[FieldError("/blend", "names an unknown head")]
        )
    total = sum(chosen.values())
    if not 0 < total < float("inf"):
        fault = FieldError("/blend", "must add up to more than 0")
        raise Invalid("the weights of a blend must add up to more than 0", errors=[fault])
    return [chosen.get(head, 0.0) / total for head in model.heads]


def settle(
    prepared: Prepared, outcomes: Sequence[Rows | NoResult], shape: tuple[int, int]
) -> tuple[list[ItemStatus], Rows]:
    """A status and a row per candidate; a row that is not finite is a failure of that candidate alone."""
    rows = np.full(shape, np.nan, dtype=np.float32)
    statuses = [ItemStatus.scored] * shape[0]
    for place, status in prepared.settled.items():
        statuses[place] = _OF_NO_RESULT[status] if isinstance(status, NoResult) else status
    for places, outcome in zip(prepared.places, outcomes, strict=True):
        if isinstance(outcome, NoResult):
            for place in places:
                statuses[place] = _OF_NO_RESULT[outcome]
        else:
            rows[places] = outcome
    for place in np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist():
        rows[place] = np.nan
        if statuses[place] is ItemStatus.scored:
            statuses[place] = ItemStatus.failed
    return statuses, rows
