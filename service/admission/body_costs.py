"""What requests have cost by the length of their body: all that is known of a request before its body is parsed.

Pure: now is an argument. Lengths are grouped by powers of two.
"""

from __future__ import annotations

from collections import defaultdict, deque

# The most recent requests of a group; fewer than MIN_REQUESTS, or older ones, tell nothing.
WINDOW, MIN_REQUESTS, MAX_AGE_S = 30, 5, 10.0


class BodyCosts:
    """The least cost per byte of recent requests with a body of similar length; 0 while there are few.

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
