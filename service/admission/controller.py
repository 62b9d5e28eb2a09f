"""May this request come in? Predicts when it would finish, and refuses at the door what can't finish in time.

Pure: the clock and the backlog are arguments. Knows nothing about HTTP: the app maps refusals.
"""

from __future__ import annotations

from service.request import Priority

# The share of the allowed time that each priority may fill: sheddable work is refused first. The rest is for what no
# prediction sees. It costs no work done (the model is busy all the same), and without it all would be a little late.
SHARES = {Priority.critical: 0.9, Priority.default: 0.75, Priority.sheddable: 0.5}


class NoCapacity(Exception):
    """The request cannot finish in time: it accepts a backlog of `allowed_s`. Retry after `retry_after_s`."""

    def __init__(self, retry_after_s: float, allowed_s: float) -> None:
        super().__init__(f"retry after {retry_after_s:.3f} s")
        self.retry_after_s = retry_after_s
        self.allowed_s = allowed_s


class Admission:
    """Predicts a request's finish from the backlog and its own cost."""

    def __init__(self, *, max_backlog_s: float) -> None:
        self._max_backlog_s = max_backlog_s

    def allowed_s(self, priority: Priority, deadline_s: float) -> float:
        """Seconds that accepted work may fill before a request that ends in `deadline_s`."""
        return SHARES[priority] * max(0.0, min(deadline_s, self._max_backlog_s))

    def admit(self, *, allowed_s: float, backlog_s: float, cost_s: float) -> None:
        """Raise NoCapacity unless the request can finish in time, its priority's margin included.

        A request whose own cost is more than its time can never finish: it comes in, to be answered in
        part, while the backlog leaves it half of its time. `cost_s` is 0 while the body is unread.
        """
        room_s = allowed_s - cost_s if cost_s <= allowed_s else allowed_s / 2
        if allowed_s == 0.0 or backlog_s > room_s:
            raise NoCapacity(max(0.0, backlog_s - room_s), allowed_s)
