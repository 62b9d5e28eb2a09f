"""Simulated clicks follow their stated truth, and the same seed gives the same log."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from training.data.impressions import POSITION
from training.data.lists import FieldList
from training.sources.simulated_clicks import ACTIONS, attractiveness_of_texts, impressions, power_law

GAINS = [1.0, 0.5, 0.0]
TITLES = ["baker", "senior pastry baker and shift lead", "welder of ships and boilers"]


def lists(count: int) -> Iterator[FieldList]:
    for index in range(count):
        candidates = [{"title": title} for title in TITLES]
        yield FieldList(f"l{index}", "s", "train", {"headline": "baker"}, candidates, {"relevance": GAINS})


def log(count: int, curve: tuple[float, ...], **options: float) -> list[FieldList]:
    return list(impressions(lists(count), attractiveness_of_texts, curve, seed=7, **options))  # type: ignore[arg-type]


def rates(found: list[FieldList], action: str) -> np.ndarray:
    shares: np.ndarray = np.array([each.labels[action] for each in found], dtype=float).mean(axis=0)
    return shares


def test_with_every_position_examined_the_action_rate_is_attractiveness() -> None:
    found = log(4000, (1.0, 1.0, 1.0))
    truth = attractiveness_of_texts(next(lists(1)))
    for action in ACTIONS:
        np.testing.assert_allclose(rates(found, action), truth[action], atol=0.03)


def test_a_position_that_is_never_examined_gets_no_action() -> None:
    found = log(200, (1.0, 0.0, 0.0))
    for each in found:
        for action in ACTIONS:
            assert all(
                done == 0 or place == 1 for done, place in zip(each.labels[action], each.labels[POSITION], strict=True)
            )


def test_applications_include_a_click_and_dismissals_exclude_it() -> None:
    for each in log(500, (1.0, 0.8, 0.6)):
        for click, apply, dismiss in zip(*(each.labels[action] for action in ACTIONS), strict=True):
            assert (apply or 0) <= (click or 0) <= 1 - (dismiss or 0)


def test_without_exploration_the_order_is_the_products_own() -> None:
    assert [each.labels[POSITION] for each in log(5, (1.0, 1.0, 1.0), exploration=0.0)] == [[1.0, 2.0, 3.0]] * 5


def test_the_same_seed_gives_the_same_log() -> None:
    assert log(50, (1.0, 0.5, 0.2)) == log(50, (1.0, 0.5, 0.2))


def test_the_examination_curve_starts_at_one_and_falls() -> None:
    assert power_law(4, 1.0) == pytest.approx((1.0, 1 / 2, 1 / 3, 1 / 4))
