"""Cost estimates: from the characters of a request and the present corrections, before any text is read."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from models.text import TextEncoder
from service.batching.latency_correction import MIN_MEASUREMENTS
from service.encoding.flat_inputs import FlatInputs, estimate_lengths
from service.encoding.tokenization import DEFAULT_TEXT_S, TokenizerThread
from service.registry.loading import LiveModel
from service.request import Item, Priority, ScoringRequest
from tests.support.bundles import tokenizer_json
from tests.support.fakes import load_tiny, pair_operation_of


@pytest.fixture(scope="module")
def model(bundle: Path) -> LiveModel:
    return load_tiny(bundle)


def request_of(*candidates: Item) -> ScoringRequest:
    return ScoringRequest(Item("", "data engineer"), candidates, None, 1.0, Priority.default)


def test_longer_texts_have_more_estimated_tokens_and_unknown_ones_the_most() -> None:
    candidates = [Item("a", "chef"), Item("b", {"title": "x" * 90}), Item("c", None), Item("d", "x" * 9000)]
    encoder = TextEncoder(tokenizer_json(), 30, 30)
    lengths = estimate_lengths(request_of(*candidates), encoder)
    assert lengths[0] < lengths[1] < lengths[2] == lengths[3] == encoder.longest_pair


def test_a_long_candidate_has_a_pair_for_each_of_its_chunks() -> None:
    candidates = [Item("a", "chef"), Item("b", "x" * 9000), Item("c", None)]
    encoder = TextEncoder(tokenizer_json(), 30, 30, chunks=3)
    assert len(estimate_lengths(request_of(*candidates), encoder)) == 1 + 3 + 3


def test_an_estimate_follows_the_correction_of_the_model(model: LiveModel) -> None:
    operation = pair_operation_of(model)
    inputs = FlatInputs(model, operation, Mock(tokenizer=TokenizerThread(Mock())))
    request = request_of(Item("a", "chef"), Item("b", "nurse"))
    usual = inputs.estimate(request, 0.0)
    assert usual.prepare_s == pytest.approx(3 * DEFAULT_TEXT_S)
    for _ in range(MIN_MEASUREMENTS):
        operation.batch_policy.correction.note(0.0, predicted=0.01, measured=0.04)
    assert inputs.estimate(request, 0.0).score_s == pytest.approx(4 * usual.score_s)
    assert inputs.estimate(request, 1e6) == usual  # the measurements are too old
