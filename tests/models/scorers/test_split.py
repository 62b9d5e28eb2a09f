"""The split scorer: three graphs that together compute the formula, for any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle.files import Bundle
from models.loading import check_known_answers, open_encoder, open_scorer
from models.scorers.split import Block, SplitScorer
from models.text import Pair
from tests.support.split_bundles import FEATURES, expected_logits, write_split_bundle

MEMBERS = ("data engineer python spark", "nurse")
CANDIDATES = ("senior data engineer", "pastry chef hotel", "nurse ward", "platform")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_split_bundle(tmp_path / "split")


@pytest.fixture
def scorer(bundle: Bundle) -> SplitScorer:
    opened = open_scorer(bundle, "cpu", 1)
    assert isinstance(opened, SplitScorer)
    return opened


def pairs_of(bundle: Bundle) -> list[Pair]:
    encoder = open_encoder(bundle)
    members = [encoder.member(text) for text in MEMBERS]
    return [Pair(member, ids) for member in members for ids in encoder.candidates(CANDIDATES)]


def test_pairs_score_as_the_formula(bundle: Bundle, scorer: SplitScorer) -> None:
    pairs = pairs_of(bundle)
    expected = [expected_logits(pair.member, pair.candidate) for pair in pairs]
    np.testing.assert_allclose(scorer.pair_logits(pairs), expected, rtol=0, atol=5e-3)  # slots are fp16


def test_a_pair_scores_the_same_alone_and_in_a_batch(bundle: Bundle, scorer: SplitScorer) -> None:
    pairs = pairs_of(bundle)
    alone = np.concatenate([scorer.score([pair]) for pair in pairs])
    np.testing.assert_allclose(scorer.score(pairs), alone, atol=1e-6)
    np.testing.assert_allclose(scorer.score(pairs[::-1]), alone[::-1], atol=1e-6)


def test_blocks_of_different_sizes_share_a_batch(bundle: Bundle, scorer: SplitScorer) -> None:
    encoder = open_encoder(bundle)
    states = scorer.encode_members([encoder.member(text) for text in MEMBERS])
    slots = scorer.encode_candidates(encoder.candidates(CANDIDATES))
    blocks = [Block(states[0], slots), Block(states[1], slots[:1])]
    together = scorer.score_blocks(blocks)
    assert [rows.shape for rows in together] == [(4, 2), (1, 2)]
    for rows, block in zip(together, blocks, strict=True):
        np.testing.assert_allclose(rows, scorer.score_blocks([block])[0], atol=1e-6)


def test_features_belong_to_their_candidate_in_blocks_of_different_sizes(tmp_path: Path) -> None:
    bundle = write_split_bundle(tmp_path / "with-features", features=FEATURES)
    scorer = open_scorer(bundle, "cpu", 1)
    assert isinstance(scorer, SplitScorer)
    encoder, plain = open_encoder(bundle), pairs_of(bundle)
    rows = np.random.default_rng(0).uniform(size=(len(plain), 2)).astype(np.float32)
    pairs = [Pair(pair.member, pair.candidate, row) for pair, row in zip(plain, rows, strict=True)]
    expected = [expected_logits(pair.member, pair.candidate, inputs=pair.features) for pair in pairs]
    np.testing.assert_allclose(scorer.pair_logits(pairs), expected, rtol=0, atol=5e-3)
    states = scorer.encode_members([encoder.member(text) for text in MEMBERS])
    slots = scorer.encode_candidates(encoder.candidates(CANDIDATES))
    blocks = [Block(states[0], slots, rows[:4]), Block(states[1], slots[:2])]
    defaults = [expected_logits(pair.member, pair.candidate, inputs=np.array([0.25, 0])) for pair in plain[4:6]]
    found = scorer.block_logits(blocks)
    np.testing.assert_allclose(found[0], expected[:4], rtol=0, atol=5e-3)
    np.testing.assert_allclose(found[1, :2], defaults, rtol=0, atol=5e-3)
    np.testing.assert_array_equal(scorer.block_logits([blocks[0].part(slice(1, 3))])[0], found[0, 1:3])


def test_a_member_state_has_no_padding(bundle: Bundle, scorer: SplitScorer) -> None:
    encoder = open_encoder(bundle)
    members = [encoder.member(text) for text in MEMBERS]
    for ids, state in zip(members, scorer.encode_members(members), strict=True):
        assert state.keys_values is not None
        assert state.keys_values.shape == (1, 2, 1, len(ids), 8)
        assert state.nbytes == 4 * 8 * (2 * len(ids) + 1)


def test_no_pairs_need_no_run(scorer: SplitScorer) -> None:
    assert scorer.score([]).shape == (0, 2)


def test_its_known_answers_pass(bundle: Bundle, scorer: SplitScorer) -> None:
    check_known_answers(bundle, scorer, open_encoder(bundle), "cpu")
