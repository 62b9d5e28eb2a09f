"""Early rejection: under overload, rejects requests from their head and their number of bytes, without parsing them.

Parsing costs a good part of what scoring does, so a flood of requests would take the processor from the model. While
overloaded, a request with an equal or shorter deadline and an equal or larger body than one just rejected would be
rejected too. Knows no HTTP.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.admission.controller import Admission
from service.errors import Overloaded
from service.request import Priority

# A rejection is remembered for this fraction of its time budget. Then the next request probes the capacity again.
REMEMBERED_FRACTION = 0.1
# Up to this much more time counts as no more: a part of the rejected request's time was gone when it was parsed.
TOLERANCE = 1.1
_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
_SHEDDABLE = re.compile(rb'"priority"\s*:\s*"sheddable"')


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request needs: a backlog of at most `allowed_s`, and time for a body of `size` bytes.

    `product` is None in doubt.
    """

    allowed_s: float
    size: int
    product: str | None = ""

    def needs_no_less_than(self, other: Claim) -> bool:
        """Whether its deadline is no later and its body no smaller: then it is rejected if the other is."""
        return self.allowed_s <= TOLERANCE * other.allowed_s and self.size >= other.size


class EarlyRejection:
    """Rejects requests before their bodies are read or parsed."""

    def __init__(
        self,
        admission: Admission,
        clock: Callable[[], float] = time.monotonic,
        products: Mapping[str, Admission] | None = None,
    ) -> None:
        """`products` is the admission of each product by its name; the default one, `admission`, comes first."""
        self._admission = admission
        self._clock = clock
        self._admissions = products or {}
        self._products = tuple(self._admissions)
        self._rejected: dict[str | None, Claim] = {}
        self._until: dict[str | None, float] = {}

    def before_body(self, deadline_s: float, size: int = 0) -> None:
        """Raise Overloaded if not even a critical request could be admitted.

        `deadline_s`: the latest deadline that the request can have, in seconds from now; infinite if the body may
        state any. `size`: the number of bytes that its head announces.
        """
        size = size if len(self._admissions) < 2 else 0  # which product it will name is not known
        self._admission.check_unread(Priority.critical, deadline_s, size, self._clock())

    def before_parsing(self, deadline_s: float, body: bytes) -> None:
        """Raise Overloaded if the backlog is too long for this request, or one that needs no more was just rejected.

        A product that has its share gets no more of
        its requests parsed: else a flood of one would take the processor from the others.
        """
        product, now = product_in(body, self._products), self._clock()
        admission = self._admissions[product] if product else self._admission
        size = 0 if product is None else len(body)
        allowed_s = admission.check_unread(priority_in(body), deadline_s, size, now)
        if product:
            admission.check_share(allowed_s, admission.costs.of(size, now), now)
        if not self._until:
            return
        claim = Claim(allowed_s, len(body), product)
        left_s = self._until.get(claim.product, -math.inf) - self._clock()
        if left_s > 0 and claim.needs_no_less_than(self._rejected[claim.product]):
            raise Overloaded(retry_after_s=left_s)

    def claim(self, allowed_s: float, body: bytes) -> Claim:
        """What a request with this body needs."""
        return Claim(allowed_s, len(body), product_in(body, self._products))

    def rejected(self, claim: Claim) -> None:
        """Remember a request that was parsed and rejected by admission."""
        now, product = self._clock(), claim.product
        if product is None:
            return
        if now >= self._until.get(product, -math.inf):
            self._rejected[product], self._until[product] = claim, now + REMEMBERED_FRACTION * claim.allowed_s
        elif self._rejected[product].needs_no_less_than(claim):
            self._rejected[product] = claim


def product_in(body: bytes, products: Sequence[str]) -> str | None:
    """The product that an unparsed body seems to name, or the default one; None in doubt."""
    if len(products) < 2:
        return ""
    named = {match[1].decode(errors="replace") for match in _MODEL.finditer(body)} & set(products)
    if not named:
        return products[0]
    return named.pop() if len(named) == 1 else None  # a field of a text may be called model as well


def priority_in(body: bytes) -> Priority:
    """The priority that an unparsed body seems to state; the higher one in doubt."""
    if b'"critical"' in body:
        return Priority.critical
    return Priority.sheddable if b'"sheddable"' in body and _SHEDDABLE.search(body) else Priority.default
