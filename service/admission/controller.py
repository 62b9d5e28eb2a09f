"""Deadline admission: predicts when a request would finish, and rejects it if that is after its deadline.

Knows no HTTP, no text and no model: requests come with a cost estimate.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from service.batching.jobs import CostEstimate
from service.errors import DeadlinePassed, Overloaded
from service.observability.runtime import RuntimeProbe
from service.request import Priority, ScoringRequest

# The fraction of its time that a request may spend waiting and running, by priority: sheddable requests are rejected
# first. The rest covers prediction errors. It costs no throughput, since the model is busy anyway, and without it
# every request would be slightly late.
USABLE_FRACTION = {Priority.critical: 0.9, Priority.default: 0.75, Priority.sheddable: 0.5}
# A request waits this long on an idle service too, so a shorter wait is none that a later try would save.
IDLE_WAIT_S = 0.002
# How often a request waits for its turn on the event loop: connection, body, guard; looked up, encoded, scored.
LOOP_PASSES = 6
# A product is active while a request of it is unfinished, and for this long after its last request.
ACTIVE_S = 10.0
# The most recent requests with a body of similar length; fewer than MIN_REQUESTS, or older ones, tell nothing.
WINDOW, MIN_REQUESTS, MAX_AGE_S = 30, 5, 10.0


class BodyCosts:
    """What requests have cost by the length of their body: all that is known of a request before its body is parsed.

    The least cost per byte of recent requests with a body of similar length counts; 0 while there are few. Lengths are
    grouped by powers of two.

    The least, because a request that costs less than others of its length must not be refused unread.
    """

    def __init__(self) -> None:
        self._per_byte: defaultdict[int, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=WINDOW))

    def note(self, num_bytes: int, cost_s: float, now: float) -> None:
        """Record the predicted cost of a parsed request."""
        if num_bytes:
            self._per_byte[num_bytes.bit_length()].append((now, cost_s / num_bytes))

    def of(self, num_bytes: int, now: float) -> float:
        """Predicted seconds of a request with a body of this length."""
        recent = [cost for at, cost in self._per_byte.get(num_bytes.bit_length(), ()) if at >= now - MAX_AGE_S]
        return num_bytes * min(recent) if len(recent) >= MIN_REQUESTS else 0.0


class FairShares:
    """The shares of all products of a process: one that floods the service leaves the others their part of the backlog.

    While several products are active, each may fill its part of the backlog that a request allows, and no more. A
    product that is alone may fill all of it.
    """

    def __init__(self) -> None:
        self._shares: dict[str, Share] = {}

    def of(self, product: str) -> Share:
        """The share of a product."""
        return self._shares.setdefault(product, Share(self))

    def num_active(self, now: float) -> int:
        return sum(share.is_active(now) for share in self._shares.values())


class Share:
    """One product's share. `unfinished_s` is the predicted cost of its admitted requests that are not answered yet."""

    def __init__(self, shares: FairShares) -> None:
        self._shares = shares
        self._num_unfinished = 0
        self._seen = float("-inf")
        self.unfinished_s = 0.0

    def is_active(self, now: float) -> bool:
        return self._num_unfinished > 0 or now - self._seen < ACTIVE_S

    def excess_s(self, cost_s: float, allowed_s: float, now: float) -> float:
        """By how much a further request exceeds the product's part of the backlog `allowed_s`; 0 if it may come.

        A single request always may: it could be larger than a part.
        """
        self._seen = now
        num_active = self._shares.num_active(now)
        if num_active < 2 or not self._num_unfinished:
            return 0.0
        return max(0.0, self.unfinished_s + cost_s - allowed_s / num_active)

    def hold(self, cost_s: float) -> None:
        """Count an admitted request as unfinished, until `release`."""
        self._num_unfinished += 1
        self.unfinished_s += cost_s

    def release(self, cost_s: float) -> None:
        self._num_unfinished -= 1
        self.unfinished_s = self.unfinished_s - cost_s if self._num_unfinished else 0.0


class Admission:
    """Compares the wait and a request's own cost with the time until its deadline.

    `backlog_seconds` gives the present backlog, `event_loop` the present lag of the event loop, and `share` what the
    product of the requests may have of the model. `costs` are those of the product's requests by the length of a body.
    """

    def __init__(
        self,
        max_backlog_s: float,
        backlog_seconds: Callable[[], float],
        event_loop: RuntimeProbe,
        share: Share | None = None,
    ) -> None:
        self.costs = BodyCosts()
        self.share = share or FairShares().of("")
        self._max_backlog_s = max_backlog_s
        self._backlog_seconds = backlog_seconds
        self._event_loop = event_loop

    def admit(self, request: ScoringRequest, estimate: CostEstimate, now: float) -> None:
        """Raise DeadlinePassed or Overloaded unless the request can finish in time.

        An admitted request counts as unfinished until `share.release`.
        """
        if request.deadline <= now:
            raise DeadlinePassed
        self.costs.note(request.body_bytes, estimate.work_s, now)
        allowed_s = self.allowed_s(request.priority, request.deadline - now)
        self._check_wait(allowed_s, estimate.work_s, estimate.turn_s)
        self.check_share(allowed_s, estimate.work_s, now)
        self.share.hold(estimate.work_s)

    def check_share(self, allowed_s: float, cost_s: float, now: float) -> None:
        """Raise Overloaded for a request beyond what its product may have of the model."""
        excess_s = self.share.excess_s(cost_s, allowed_s, now)
        if excess_s:
            raise Overloaded(retry_after_s=excess_s, allowed_s=allowed_s)

    def check_unread(self, priority: Priority, deadline_s: float, num_bytes: int = 0, now: float = 0.0) -> float:
        """Raise Overloaded if the wait is too long for a request with a body of this length; returns its `allowed_s`.

        Its cost is what such requests have cost. One that could not finish even without a wait passes: only its own
        estimate decides that.
        """
        allowed_s = self.allowed_s(priority, deadline_s)
        cost_s = self.costs.of(num_bytes, now) if num_bytes else 0.0
        self._check_wait(allowed_s, cost_s if cost_s <= allowed_s else 0.0)
        return allowed_s

    def allowed_s(self, priority: Priority, deadline_s: float) -> float:
        """The largest backlog, in seconds, before a request that must finish in `deadline_s`."""
        return USABLE_FRACTION[priority] * max(0.0, min(deadline_s, self._max_backlog_s))

    def _check_wait(self, allowed_s: float, work_s: float, turn_s: float = 0.0) -> None:
        """Raise Overloaded if the wait and the cost exceed what is allowed.

        A request waits for the backlog and for its turns on the event loop: behind an overloaded loop, the backlog
        alone looks small. A request that costs more than its time can never finish. It is admitted, for a partial
        result, while the wait leaves it half of its time.
        """
        wait_s = self._backlog_seconds() + LOOP_PASSES * self._event_loop.loop_lag_s
        cost_s = work_s + min(turn_s, wait_s)
        max_wait_s = allowed_s - cost_s if cost_s <= allowed_s else allowed_s / 2
        if allowed_s == 0.0 or wait_s > max_wait_s:
            if max_wait_s < IDLE_WAIT_S:
                raise Overloaded("the deadline is too short for this request, also without other requests")
            raise Overloaded(retry_after_s=max(0.0, wait_s - max_wait_s), allowed_s=allowed_s)
