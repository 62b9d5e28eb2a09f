"""Ranking metrics against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.metrics.bootstrap import bootstrap
from training.metrics.ranking import Metric, auc, evaluate_lists, ndcg_at_10, reciprocal_rank


def test_ndcg_matches_hand_calculation() -> None:
    found = ndcg_at_10(np.array([3.0, 2.0, 1.0]), np.array([0.0, 1.0, 0.5]))
    expected = (1 / math.log2(3) + 0.5 / math.log2(4)) / (1 + 0.5 / math.log2(3))
    assert found == pytest.approx(expected)


def test_ndcg_only_looks_at_the_first_ten() -> None:
    gains = np.zeros(20)
    gains[10] = 1.0
    assert ndcg_at_10(-np.arange(20.0), gains) == 0.0
    assert ndcg_at_10(np.arange(20.0), gains) == pytest.approx(1 / math.log2(11))


def test_a_constant_scorer_earns_nothing_from_the_order_of_the_list() -> None:
    gains = np.array([1.0] + [0.0] * 19)
    assert ndcg_at_10(np.zeros(20), gains) == 0.0
    assert reciprocal_rank(np.zeros(20), gains) == pytest.approx(1 / 20)
    assert auc(np.zeros(20), gains) == 0.5


def test_reciprocal_rank_is_that_of_the_best_grade() -> None:
    assert reciprocal_rank(np.array([3.0, 2.0, 1.0]), np.array([0.5, 0.0, 1.0])) == pytest.approx(1 / 3)


def test_auc_counts_pairs() -> None:
    assert auc(np.array([4.0, 1.0, 3.0, 2.0]), np.array([1.0, 1.0, 0.0, 0.0])) == 0.5


@pytest.mark.parametrize("metric", [ndcg_at_10, reciprocal_rank, auc])
def test_a_list_without_gains_is_not_judged(metric: Metric) -> None:
    assert math.isnan(metric(np.array([1.0, 2.0]), np.array([0.0, 0.0])))


def test_unjudged_candidates_are_left_out() -> None:
    values = evaluate_lists(ndcg_at_10, [np.array([9.0, 2.0, 1.0])], [np.array([np.nan, 1.0, 0.0])])
    assert values.tolist() == [1.0]


def test_the_interval_holds_the_mean_and_narrows_with_more_lists() -> None:
    values = np.random.default_rng(1).random(2000)
    few, many = bootstrap(values[:50]), bootstrap(values)
    assert few.low < few.mean < few.high
    assert many.high - many.low < (few.high - few.low) / 3


def test_lists_that_were_not_judged_do_not_change_the_interval() -> None:
    values = np.array([0.1, 0.9, 0.4])
    assert bootstrap(np.append(values, np.nan)) == bootstrap(values)
