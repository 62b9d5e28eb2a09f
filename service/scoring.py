"""The path of a request: admit -> prepare -> score -> blend. The one place where the service's parts meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from models.text import Fields
from service.admission import Admission, NoCapacity
from service.engine import Engine, EngineDead
from service.errors import DeadlinePassed, FieldError, Invalid, NotReady, Overloaded
from service.models import LiveModel
from service.queue import QueueClosed
from service.texts import EmptyMember, Entry, Prepared, Texts
from service.timings import Timings
from service.work import PairOutcome, PairStatus, Priority, Request, RequestResult

# Of English job texts in WordPiece; a wrong guess admits a little more or less, and never changes a score.
CHARS_PER_TOKEN = 4.5
# Statuses that a later try, or more time, would change: with one of them an answer is degraded.
_DEGRADED = {PairStatus.failed, PairStatus.not_scored}


@dataclass(frozen=True, slots=True)
class Order:
    """What the caller wants: one member, candidates, how to blend, and by when (monotonic seconds)."""

    member: Entry
    candidates: Sequence[Entry]
    blend: Mapping[str, float] | None
    deadline: float
    priority: Priority


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcomes in the order of the candidates; a score is the blend of an outcome's probabilities."""

    model: LiveModel
    outcomes: list[PairOutcome]
    scores: list[float | None]

    @property
    def degraded(self) -> bool:
        """Whether a candidate that could have been scored was not."""
        return any(outcome.status in _DEGRADED for outcome in self.outcomes)


class Scoring:
    """Scores orders with the model that is live when they come."""

    def __init__(self, engine: Engine, admission: Admission, texts: Texts) -> None:
        self._engine = engine
        self._admission = admission
        self._texts = texts
        self._tokenizer_thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._preparing_s = 0.0
        self.model: LiveModel | None = None

    def use(self, model: LiveModel) -> None:
        """Score requests that come from now on with this model; earlier ones keep the one they began with."""
        self._engine.use(model.cost)
        self.model = model

    def backlog_seconds(self) -> float:
        """Predicted seconds of accepted work: what is being prepared, waits or runs."""
        return self._engine.backlog_seconds() + self._preparing_s

    async def score(self, order: Order, timings: Timings) -> Answer:
        """Score an order. Raises the errors of `service.errors`; cancelling this frees the order's place."""
        model = self.model
        if model is None:
            raise NotReady("no model is loaded yet", retry_after_s=1.0)
        weights = blend_weights(model, order.blend)
        cost_s = self._admit(model, order)
        timings.lap("admit")
        prepared = await self._prepare(model, order, cost_s)
        timings.lap("tokenize")
        result = await self._run(_request(model, order, prepared))
        timings.lap("queue")
        timings.split("queue", "model", result.model_s)
        if prepared.pairs and all(outcome.status is PairStatus.not_scored for outcome in result.outcomes):
            raise DeadlinePassed
        outcomes = _in_request_order(prepared, result, len(order.candidates))
        return Answer(model, outcomes, [_blend(weights, outcome) for outcome in outcomes])

    def _admit(self, model: LiveModel, order: Order) -> float:
        """Predicted seconds of the order, when they fit. Raises Overloaded, or DeadlinePassed."""
        now = time.monotonic()
        if order.deadline <= now:
            raise DeadlinePassed
        cost_s = self._engine.cost_seconds(guess_lengths(order, model.cost.lengths[-1]))
        try:
            self._admission.admit(
                now=now,
                deadline=order.deadline,
                priority=order.priority,
                backlog_s=self.backlog_seconds(),
                cost_s=cost_s,
            )
        except NoCapacity as refusal:
            raise Overloaded(retry_after_s=refusal.retry_after_s) from None
        return cost_s

    async def _prepare(self, model: LiveModel, order: Order, cost_s: float) -> Prepared:
        # Until the queue knows the request's true cost, the guess stands for it: admission must not be blind here.
        self._preparing_s += cost_s
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._tokenizer_thread, self._texts.prepare, model, order.member, order.candidates
            )
        except EmptyMember:
            raise Invalid("the member has no text", errors=[FieldError("/member", "has no text")]) from None
        finally:
            self._preparing_s -= cost_s

    async def _run(self, request: Request) -> RequestResult:
        if not request.pairs:
            return RequestResult((), 0.0, 0.0)
        try:
            return await self._engine.submit(request)
        except asyncio.CancelledError:
            self._engine.cancel(request)
            raise
        except (EngineDead, QueueClosed):
            raise NotReady("the model cannot be run here any more", retry_after_s=5.0) from None

    def close(self) -> None:
        """Let the tokenizer thread go."""
        self._tokenizer_thread.shutdown(wait=False, cancel_futures=True)


def guess_lengths(order: Order, longest: int) -> list[int]:
    """Tokens of each pair, guessed from its characters before anything is tokenised; `longest` where unknown."""
    member = _guess_tokens(order.member.content, longest)
    return [min(longest, member + _guess_tokens(each.content, longest)) for each in order.candidates]


def _guess_tokens(content: str | Fields | None, longest: int) -> int:
    if content is None:
        return longest
    chars = len(content) if isinstance(content, str) else sum(len(str(value)) for value in content.values())
    return 2 + int(chars / CHARS_PER_TOKEN)


def _request(model: LiveModel, order: Order, prepared: Prepared) -> Request:
    lengths = [len(pair) for pair in prepared.pairs]
    return Request.of(
        model.scorer,
        prepared.pairs,
        lengths,
        arrived=time.monotonic(),
        deadline=order.deadline,
        priority=order.priority,
    )


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


def _in_request_order(prepared: Prepared, result: RequestResult, num_candidates: int) -> list[PairOutcome]:
    scored = dict(zip(prepared.positions, result.outcomes, strict=True))
    refused = {position: PairOutcome(status) for position, status in prepared.refused.items()}
    known = {**scored, **refused}
    return [known[position] for position in range(num_candidates)]


def _blend(weights: Sequence[float], outcome: PairOutcome) -> float | None:
    if outcome.probabilities is None:
        return None
    return sum(w * probability for w, probability in zip(weights, outcome.probabilities, strict=True))
