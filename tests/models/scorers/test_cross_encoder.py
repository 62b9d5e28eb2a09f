"""Scores depend on the pair alone, and match the formula."""

from pathlib import Path

import numpy as np
import pytest

from models.runtime.session import Session
from models.scorers.cross_encoder import CrossEncoderScorer
from models.text import Pair, TextEncoder
from tests.support.bundles import HEADS, expected_logits, graph_bytes, tokenizer_json

TEXTS = ("data engineer", "senior nurse ward", "chef", "python spark platform data", "")


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(tokenizer_json(), 16, 16)


@pytest.fixture(scope="module")
def scorer(encoder: TextEncoder) -> CrossEncoderScorer:
    return CrossEncoderScorer(Session.open(graph_bytes(), "cpu", 1), encoder, HEADS)


@pytest.fixture(scope="module")
def pairs(encoder: TextEncoder) -> list[Pair]:
    return [Pair(encoder.member(m), c) for m in TEXTS for c in encoder.candidates(TEXTS)]


def test_logits_match_the_formula(scorer: CrossEncoderScorer, encoder: TextEncoder, pairs: list[Pair]) -> None:
    expected = [expected_logits(encoder, pair) for pair in pairs]
    np.testing.assert_allclose([scorer.pair_logits([pair])[0] for pair in pairs], expected, atol=1e-5)


def test_other_pairs_and_padding_change_nothing(scorer: CrossEncoderScorer, pairs: list[Pair]) -> None:
    together = scorer.score(pairs)
    np.testing.assert_allclose(together, np.concatenate([scorer.score([pair]) for pair in pairs]), atol=1e-6)
    np.testing.assert_allclose(together[::-1], scorer.score(pairs[::-1]), atol=1e-6)


def test_scores_are_calibrated_by_head(scorer: CrossEncoderScorer, pairs: list[Pair]) -> None:
    logits = scorer.pair_logits(pairs)
    np.testing.assert_allclose(scorer.score(pairs)[:, 0], 1 / (1 + np.exp(-(2.0 * logits[:, 0] - 0.5))), atol=1e-6)


def test_no_pairs_run_no_graph(encoder: TextEncoder) -> None:
    class Untouchable:
        def run(self, feeds: object) -> None:
            raise AssertionError("the graph was run")

    scorer = CrossEncoderScorer(Untouchable(), encoder, HEADS)  # type: ignore[arg-type]  # a session that must not be used
    assert scorer.score([]).shape == (0, 2)


def test_a_graph_without_token_types_gets_none(encoder: TextEncoder, pairs: list[Pair]) -> None:
    graph = graph_bytes(inputs=("input_ids", "attention_mask"))
    scorer = CrossEncoderScorer(Session.open(graph, "cpu", 1), encoder, HEADS)
    assert np.isfinite(scorer.score(pairs)).all()


def test_a_graph_with_external_data_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx
    from onnx.external_data_helper import convert_model_to_external_data

    from models.errors import BundleError

    model = onnx.load_from_string(graph_bytes())
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, tmp_path / "outside.onnx")
    monkeypatch.chdir(tmp_path)  # the folder in which the file could be found
    with pytest.raises(BundleError):
        Session.open((tmp_path / "outside.onnx").read_bytes(), "cpu", 1)
