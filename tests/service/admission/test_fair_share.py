"""One product cannot take the model from another: simulated load against admission as the service wires it."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field
from unittest.mock import Mock

import pytest

from service.admission.controller import ACTIVE_S, Admission, FairShares, Share
from service.admission.early_rejection import EarlyRejection, product_in
from service.batching.jobs import CostEstimate
from service.errors import Overloaded
from service.request import Item, Priority, ScoringRequest

DEADLINE_S = 1.0
COST_S = 0.01
SECONDS = 10.0
IDLE_LOOP = Mock(loop_lag_s=0.0)
PER_S = 1 / COST_S
"""What the model can do."""


@dataclass
class Model:
    """One model thread that works first come, first served; `in_time` counts by product what it finished in time."""

    shares: FairShares = field(default_factory=FairShares)
    now: float = 0.0
    free_at: float = 0.0
    came: Counter[str] = field(default_factory=Counter)
    in_time: Counter[str] = field(default_factory=Counter)
    _unfinished: list[tuple[float, str]] = field(default_factory=list)

    def arrive(self, product: str, at: float) -> None:
        self.now = at
        while self._unfinished and self._unfinished[0][0] <= at:
            _, finished = heapq.heappop(self._unfinished)
            self.shares.of(finished).release(COST_S)
        self.came[product] += 1
        share = self.shares.of(product)
        admission = Admission(10.0, lambda: max(0.0, self.free_at - self.now), IDLE_LOOP, share)
        request = ScoringRequest(Item("", "x"), [], None, at + DEADLINE_S, Priority.default)
        try:
            admission.admit(request, CostEstimate(0.0, 0.0, COST_S), at)
        except Overloaded:
            return
        self.free_at = max(self.free_at, at) + COST_S
        heapq.heappush(self._unfinished, (self.free_at, product))
        self.in_time[product] += self.free_at <= at + DEADLINE_S

    def play(self, **loads: float) -> Model:
        """Ten seconds of arrivals at these multiples of the capacity."""
        rng = random.Random(1)
        arrivals = []
        for product, times in loads.items():
            at = rng.expovariate(times * PER_S)
            while at < SECONDS:
                arrivals.append((at, product))
                at += rng.expovariate(times * PER_S)
        for at, product in sorted(arrivals):
            self.arrive(product, at)
        return self

    def kept(self, product: str) -> float:
        """The fraction of a product's requests that were answered in time."""
        return self.in_time[product] / self.came[product]

    def throughput(self, product: str) -> float:
        """In multiples of the capacity."""
        return self.in_time[product] / (SECONDS * PER_S)


class Unfair(FairShares):
    """The negative control: every product counts as if it were alone."""

    def num_active(self, now: float) -> int:
        return 1


@pytest.mark.parametrize("flood", [2.0, 5.0, 10.0])
def test_a_product_below_its_share_keeps_its_requests_beside_a_flood(flood: float) -> None:
    model = Model().play(calm=0.3, flood=flood)
    assert model.kept("calm") >= 0.99
    assert model.throughput("calm") + model.throughput("flood") >= 0.98  # nothing is left idle for it


def test_without_shares_a_flood_takes_the_model_from_the_other_product() -> None:
    assert Model(Unfair()).play(calm=0.3, flood=10.0).kept("calm") < 0.5


def test_two_floods_get_equal_parts() -> None:
    model = Model().play(one=3.0, other=9.0)
    assert model.throughput("one") == pytest.approx(0.5, abs=0.08)
    assert model.throughput("other") == pytest.approx(0.5, abs=0.08)


def test_a_product_that_is_alone_may_use_everything() -> None:
    model = Model()
    model.shares.of("silent")
    model.play(flood=5.0)
    unfair = Model(Unfair()).play(flood=5.0)
    assert model.in_time == unfair.in_time


def share_beside(num_others: int) -> Share:
    shares = FairShares()
    for other in range(num_others):
        shares.of(f"other {other}").excess_s(0.0, 1.0, 0.0)
    return shares.of("own")


def test_a_single_request_may_exceed_the_share() -> None:
    share = share_beside(3)
    assert share.excess_s(5.0, 1.0, 0.0) == 0
    share.hold(5.0)
    assert share.excess_s(0.1, 1.0, 0.0) == pytest.approx(5.1 - 0.25)
    share.release(5.0)
    assert (share.unfinished_s, share.excess_s(5.0, 1.0, 0.0)) == (0.0, 0.0)


def test_a_product_without_requests_gives_its_share_back_after_a_while() -> None:
    share = share_beside(1)
    share.hold(0.6)
    assert share.excess_s(0.1, 1.0, ACTIVE_S - 0.1) > 0
    assert share.excess_s(0.1, 1.0, ACTIVE_S + 0.1) == 0


@pytest.mark.parametrize(
    ("body", "product"),
    [
        (b'{"member": {}, "model": "goods"}', "goods"),
        (b'{"model" : \n"goods", "candidates": [{"fields": {"model": "X200"}}]}', "goods"),
        (b'{"candidates": [{"fields": {"model": "X200"}}]}', "jobs"),
        (b'{"member": {}}', "jobs"),
        (b'{"query": "x", "model": "rerank-v3.5"}', "jobs"),
        (b'{"model": "goods", "candidates": [{"fields": {"model": "jobs"}}]}', None),
        (b'{"model": "\xff"}', "jobs"),
        (b"not JSON", "jobs"),
    ],
)
def test_the_product_of_an_unparsed_body_is_guessed_or_left_open(body: bytes, product: str | None) -> None:
    assert product_in(body, ["jobs", "goods"]) == product


def test_a_rejection_of_one_product_does_not_reject_another_unparsed() -> None:
    products = {name: Admission(10.0, lambda: 0.5, Mock(loop_lag_s=0.0)) for name in ("jobs", "goods")}
    gate = EarlyRejection(products["jobs"], lambda: 0.0, products)
    bodies = {name: b'{"model": "%s"}' % name.encode() for name in ("jobs", "goods")}
    gate.rejected(gate.claim(0.74, bodies["jobs"]))
    with pytest.raises(Overloaded):
        gate.before_parsing(1.0, bodies["jobs"])
    gate.before_parsing(1.0, bodies["goods"])
    unclear = b'{"model": "goods", "more": {"model": "jobs"}}' * 2
    gate.rejected(gate.claim(0.74, unclear))
    gate.before_parsing(1.0, unclear)


def door_beside_a_flood(shares: FairShares) -> EarlyRejection:
    """The flood has all that it may: half of 0.75 s."""
    products = {name: Admission(10.0, lambda: 0.4, IDLE_LOOP, shares.of(name)) for name in ("calm", "flood")}
    request = ScoringRequest(Item("", "x"), [], None, DEADLINE_S, Priority.default)
    products["flood"].admit(request, CostEstimate(0.0, 0.0, 0.3), 0.0)
    products["flood"].share.hold(0.1)
    products["calm"].admit(request, CostEstimate(0.0, 0.0, COST_S), 0.0)
    return EarlyRejection(products["calm"], lambda: 0.0, products)


def test_a_product_that_has_its_share_is_refused_unparsed_and_the_other_is_not() -> None:
    door = door_beside_a_flood(FairShares())
    with pytest.raises(Overloaded):
        door.before_parsing(DEADLINE_S, b'{"model": "flood"}')
    door.before_parsing(DEADLINE_S, b'{"model": "calm"}')
    door.before_parsing(DEADLINE_S, b"{}")
    door.before_parsing(DEADLINE_S, b'{"model": "flood", "more": {"model": "calm"}}')  # in doubt


def test_without_shares_the_door_lets_the_flood_be_parsed() -> None:
    door_beside_a_flood(Unfair()).before_parsing(DEADLINE_S, b'{"model": "flood"}')
