"""What an order will cost, guessed before anything of it is read: from its characters, and the pace of the day."""

from pathlib import Path

import pytest

from service.admission.cost_estimate import estimate_cost, estimate_lengths
from service.batching.latency_correction import MIN_MEASUREMENTS
from service.registry.loading import LiveModel
from service.request import Item, Priority, ScoringRequest
from tests.support.fakes import load_tiny, pair_operation_of


@pytest.fixture(scope="module")
def model(bundle: Path) -> LiveModel:
    return load_tiny(bundle)


def test_longer_texts_are_guessed_to_be_longer_and_unknown_ones_longest() -> None:
    candidates = [Item("a", "chef"), Item("b", {"title": "x" * 90}), Item("c", None), Item("d", "x" * 9000)]
    guessed = estimate_lengths(ScoringRequest(Item("", "data engineer"), candidates, None, 1.0, Priority.default), 64)
    assert guessed[0] < guessed[1] < guessed[2] == guessed[3] == 64


def test_a_guess_follows_the_pace_of_the_model_and_of_reading(model: LiveModel) -> None:
    order = ScoringRequest(
        Item("", "data engineer"), [Item("a", "chef"), Item("b", "nurse")], None, 1.0, Priority.default
    )
    usual = estimate_cost(model, order, 0.0, text_s=0.001)
    assert usual.prepare_s == pytest.approx(0.003)
    for _ in range(MIN_MEASUREMENTS):
        pair_operation_of(model).batch_policy.correction.note(0.0, predicted=0.01, measured=0.04)
    assert estimate_cost(model, order, 0.0, text_s=0.001).model_s == pytest.approx(4 * usual.model_s)
    assert estimate_cost(model, order, 1e6, text_s=0.001) == usual  # long ago
