"""Deadline admission: predicts when a request would finish, and rejects it if that is after its deadline.

Knows no HTTP, no text and no model: requests come with a cost estimate.
"""

from __future__ import annotations

from collections.abc import Callable

from service.admission.body_costs import BodyCosts
from service.admission.fair_share import FairShares, Share
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
NO_COST = CostEstimate(0.0, 0.0, 0.0)


class Admission:
    """Compares the wait and a request's own cost with the time until its deadline.

    `backlog_seconds` gives the present backlog, `event_loop` the present lag of the event loop, and `share` what the
    product of the requests may have of the model.
    """

    def __init__(
        self,
        max_backlog_s: float,
        backlog_seconds: Callable[[], float],
        event_loop: RuntimeProbe,
        share: Share | None = None,
        costs: BodyCosts | None = None,
    ) -> None:
        self.costs = costs or BodyCosts()
        self.share = share or FairShares().of("")
        self._max_backlog_s = max_backlog_s
        self._backlog_seconds = backlog_seconds
        self._event_loop = event_loop

    def admit(self, request: ScoringRequest, estimate: CostEstimate, now: float) -> None:
        """Raise DeadlinePassed or Overloaded unless the request can finish in time."""
        if request.deadline <= now:
            raise DeadlinePassed
        self.costs.note(request.body_bytes, estimate.work_s, now)
        allowed_s = self.allowed_s(request.priority, request.deadline - now)
        self._check_wait(allowed_s, estimate)
        excess_s = self.share.excess_s(estimate.work_s, allowed_s, now)
        if excess_s:
            raise Overloaded(retry_after_s=excess_s, allowed_s=allowed_s)

    def check_unread(self, priority: Priority, deadline_s: float, cost_s: float = 0.0) -> float:
        """Raise Overloaded if the wait is too long for a request that may cost this much; returns its `allowed_s`.

        A request that could not finish even without a wait passes: only its own estimate decides that.
        """
        allowed_s = self.allowed_s(priority, deadline_s)
        self._check_wait(allowed_s, CostEstimate(0.0, 0.0, cost_s) if cost_s <= allowed_s else NO_COST)
        return allowed_s

    def allowed_s(self, priority: Priority, deadline_s: float) -> float:
        """The largest backlog, in seconds, before a request that must finish in `deadline_s`."""
        return USABLE_FRACTION[priority] * max(0.0, min(deadline_s, self._max_backlog_s))

    def _check_wait(self, allowed_s: float, estimate: CostEstimate) -> None:
        """Raise Overloaded if the wait and the cost exceed what is allowed.

        A request waits for the backlog and for its turns on the event loop: behind an overloaded loop, the backlog
        alone looks small. A request that costs more than its time can never finish. It is admitted, for a partial
        result, while the wait leaves it half of its time.
        """
        wait_s = self._backlog_seconds() + LOOP_PASSES * self._event_loop.loop_lag_s
        cost_s = estimate.work_s + min(estimate.turn_s, wait_s)
        max_wait_s = allowed_s - cost_s if cost_s <= allowed_s else allowed_s / 2
        if allowed_s == 0.0 or wait_s > max_wait_s:
            if max_wait_s < IDLE_WAIT_S:
                raise Overloaded("the deadline is too short for this request, also without other requests")
            raise Overloaded(retry_after_s=max(0.0, wait_s - max_wait_s), allowed_s=allowed_s)
