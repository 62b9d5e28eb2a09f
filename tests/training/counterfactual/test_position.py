"""The position model: simulated members with a known curve, and logs that cannot tell a place from its candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.counterfactual.position import Shown, examination, linked_places, varied_share

CURVE = np.array([1.0, 0.6, 0.4, 0.25])
LISTS, ITEMS = 4000, 40


def log(seed: int, noise: float, lists: int = LISTS) -> Shown:
    """Lists of four items. The order follows attraction plus `noise`: large noise is a random order."""
    random = np.random.default_rng(seed)
    attraction = random.beta(1, 3, ITEMS)
    items = np.stack([random.choice(ITEMS, 4, replace=False) for _ in range(lists)])
    order = np.argsort(-(attraction[items] + noise * random.normal(size=items.shape)), axis=1)
    placed = np.take_along_axis(items, order, axis=1)
    clicked = random.random(placed.shape) < CURVE * attraction[placed]
    return Shown(
        places=np.tile(np.arange(1, 5), lists),
        items=placed.ravel(),
        shown=np.ones(placed.size),
        actions=clicked.ravel().astype(float),
        clusters=np.repeat(np.arange(lists), 4),
    )


def naive(each: Shown) -> np.ndarray:
    rates = np.array([each.actions[each.places == place].mean() for place in range(1, 5)])
    return np.asarray(rates / rates[0])


def test_the_curve_is_found_where_the_order_varies_and_the_naive_one_is_biased() -> None:
    held = 0
    for seed in (1, 2, 3):
        mixed = log(seed, noise=0.2)
        found = examination(mixed)
        assert found.warnings == ()
        assert max(abs(found.curve[place].mean - CURVE[place - 1]) for place in range(1, 5)) < 0.06
        held += sum(found.curve[place].low <= CURVE[place - 1] <= found.curve[place].high for place in (2, 3, 4))
        assert np.abs(naive(mixed) - CURVE).max() > 0.1  # the control: the first places hold the better candidates
    assert held >= 8


def test_random_orders_give_the_curve_by_weights() -> None:
    found = examination(replace(log(1, noise=1e6), propensity=np.full(4 * LISTS, 0.25)))
    assert found.method == "propensities"
    for place in (2, 3, 4):
        assert found.curve[place].low <= CURVE[place - 1] <= found.curve[place].high


def test_a_fixed_order_cannot_be_separated_from_its_candidates() -> None:
    fixed = replace(log(2, noise=0.0), items=np.tile(np.arange(4), LISTS))
    found = examination(fixed)
    assert linked_places(fixed) == {1}
    assert varied_share(fixed) == 0
    assert found.unknown == (2, 3, 4)
    assert any("cannot tell a place from its candidates" in each for each in found.warnings)
    assert any("no candidate links place 2, 3, 4 with place 1" in each for each in found.warnings)
    certain = examination(replace(fixed, propensity=np.ones(4 * LISTS)))
    assert "every propensity is 1" in certain.warnings[0]


def test_a_place_that_nothing_links_is_left_out() -> None:
    few = Shown(
        places=np.array([1, 2, 2, 1, 3]),
        items=np.array([0, 0, 1, 1, 2]),
        shown=np.full(5, 100.0),
        actions=np.array([40.0, 20, 10, 20, 5]),
        clusters=np.arange(5),
    )
    found = examination(few)
    assert found.unknown == (3,)
    assert abs(found.curve[2].mean - 0.5) < 1e-6


def test_a_thin_log_says_how_wide_it_is() -> None:
    assert any("spans a factor of 3" in each for each in examination(log(5, noise=0.2, lists=30)).warnings)
