"""What features change is found again where it was planted, and a column of noise gets no part in any score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import Feature, Features
from training.data.lists import CandidateList
from training.distillation import feature_learning
from training.distillation.feature_learning import HeldOutPairs, LearntFeatures, learn_features
from training.evaluation.feature_effects import FeatureEffect

HEADS = ("fit", "apply")
PRICE = Feature(name="price", unit="EUR", low=0, high=200, default=50)
NOISE = Feature(name="noise", unit="", low=-1, high=1, default=0)
FEATURES = Features((PRICE, NOISE))
PLANTED = -2.5
"""Of the first head's logit, from the lowest price to the highest."""


def market(seed: int, effect: float, members: int = 90, candidates: int = 8) -> HeldOutPairs:
    """Gains drawn from logits of texts and, for the first head, of the price; the second head knows no feature."""
    random = np.random.default_rng(seed)
    num = members * candidates
    texts = random.normal(0, 1.5, (num, 2)).astype(np.float32)
    inputs = random.uniform(size=(num, 2)).astype(np.float32)
    logits = texts + np.outer(effect * inputs[:, 0], [1, 0])
    gains = (random.uniform(size=(num, 2)) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    clusters = np.repeat([f"m{number}" for number in range(members)], candidates).astype(object)
    return HeldOutPairs(texts, inputs, gains, np.ones(num), clusters)


def effects(learnt: LearntFeatures) -> dict[tuple[str, str], FeatureEffect]:
    return {(each.head, each.feature): each for each in learnt.effects}


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_planted_effect_is_found_within_its_interval_and_noise_adds_nothing(seed: int) -> None:
    pairs = market(seed, PLANTED)
    learnt = learn_features(FEATURES, HEADS, pairs, seed)
    found = effects(learnt)
    price = found["fit", "price"]
    assert price.used
    truth = PLANTED * (price.high - price.low) / (PRICE.high - PRICE.low)
    assert price.change.low <= truth <= price.change.high
    assert price.change.high < 0
    others = [each for key, each in found.items() if key != ("fit", "price")]
    assert not any(each.used for each in others)
    assert all((each.change.low, each.change.mean, each.change.high) == (0, 0, 0) for each in others)
    # The head without a feature scores as before, bit for bit.
    np.testing.assert_array_equal(learnt.logits[:, 1].astype(np.float32), pairs.logits[:, 1])


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_without_an_effect_no_score_changes(seed: int) -> None:
    pairs = market(seed, 0.0)
    learnt = learn_features(FEATURES, HEADS, pairs, seed)
    assert not any(each.used for each in learnt.effects)
    np.testing.assert_array_equal(learnt.logits.astype(np.float32), pairs.logits)


def test_a_head_without_gains_gets_no_feature() -> None:
    pairs = market(1, PLANTED)
    pairs.gains[:, 0] = np.nan
    assert not any(each.used for each in learn_features(FEATURES, HEADS, pairs, 0).effects)


def test_logits_for_calibration_are_of_parts_that_did_not_see_the_pair() -> None:
    """Gains of one fold do not change the logits of that fold."""
    pairs = market(1, PLANTED)
    fold = feature_learning._folds(pairs.clusters, 0)
    used = np.array([[True, True], [True, False]])
    before = feature_learning._cross_fitted(FEATURES, pairs, fold, used, 0)
    pairs.gains[fold == 0] = 1 - pairs.gains[fold == 0]
    after = feature_learning._cross_fitted(FEATURES, pairs, fold, used, 0)
    np.testing.assert_array_equal(after[fold == 0], before[fold == 0])
    assert not np.array_equal(after[fold == 1], before[fold == 1])


@given(seed=st.integers(0, 2**16))
def test_pairs_of_one_member_are_in_one_fold(seed: int) -> None:
    clusters = np.array(["a", "b", "a", "c", "d", "e", "b"], dtype=object)
    fold = feature_learning._folds(clusters, seed)
    assert fold[0] == fold[2]
    assert fold[1] == fold[6]
    assert len(set(fold)) == 5


def test_pairs_of_lists_have_inputs_gains_and_how_likely_they_were_examined() -> None:
    lists = [
        CandidateList(
            "a",
            "s",
            "m",
            ("x", "y"),
            {"fit": np.array([0.5, np.nan]), "position": np.array([1.0, 9.0])},
            {"price": np.array([100, np.nan])},
        ),
        CandidateList("b", "s", "n", ("z",), {"fit": np.array([1.0]), "position": np.array([2.0])}),
    ]
    logits = np.arange(9, dtype=np.float32).reshape(3, 3)
    pairs = HeldOutPairs.of(FEATURES, HEADS, logits, lists, np.array([1.0, 0.5]))
    assert pairs.logits.tolist() == logits[:, :2].tolist()
    assert pairs.inputs.tolist() == [[0.5, 0.5], [0.25, 0.5], [0.25, 0.5]]
    np.testing.assert_array_equal(pairs.gains, [[0.5, np.nan], [np.nan, np.nan], [1, np.nan]])
    assert pairs.examined.tolist() == [1, 0.5, 0.5]
    assert pairs.clusters.tolist() == ["m", "m", "n"]
    assert HeldOutPairs.of(FEATURES, HEADS, logits, lists).examined.tolist() == [1, 1, 1]
