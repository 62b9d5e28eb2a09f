"""The baselines are correct: BM25 against its formula, cosine against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.data.lists import CandidateList
from training.evaluation.baselines import bm25_scores, cosine_scores
from training.nets.tiny_backbone import write_tiny_backbone

TEXTS = ("steel steel oven", "oven ward", "ward garden house")


def listed(member: str) -> list[CandidateList]:
    return [CandidateList("a", "s", member, TEXTS, {"fit": np.zeros(3)})]


def test_bm25_matches_hand_calculation() -> None:
    # Lucene's form: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), k1 = 1.5, b = 0.75; lengths 3, 2, 3 of mean 8 / 3.
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * 3 / (8 / 3)))
    scores = bm25_scores(listed("steel"))[0]
    assert scores[0] == pytest.approx(expected, rel=1e-3)
    assert scores[1:].tolist() == [0.0, 0.0]


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    scores = bm25_scores(listed("garden oven"))[0]
    assert scores[2] > scores[1] > 0


def test_a_member_without_a_known_word_scores_zero() -> None:
    assert bm25_scores(listed("zebra"))[0].tolist() == [0.0, 0.0, 0.0]


def test_the_cosine_of_a_text_with_itself_is_one_and_with_others_less(tmp_path_factory: pytest.TempPathFactory) -> None:
    backbone = write_tiny_backbone(tmp_path_factory.mktemp("backbone"), TEXTS)
    scores = cosine_scores(listed(TEXTS[1]), backbone, max_tokens=32)[0]
    assert scores[1] == pytest.approx(1.0, abs=1e-3)
    assert max(scores[0], scores[2]) < 0.999
