"""Fair shares of the model among products: one that floods the service leaves the others their part of the backlog.

While several products are active, each may fill its part of the backlog that a request allows, and no more. A product
that is alone may fill all of it. Knows no HTTP and no model: the clock is an argument, costs are seconds.
"""

from __future__ import annotations

# A product is active while a request of it is unfinished, and for this long after its last request.
ACTIVE_S = 10.0


class FairShares:
    """The shares of all products of a process."""

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
