"""Numbers of candidates become a model's inputs: defaults, bounds, and what is no number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.features import Feature, Features, merged

PRICE = Feature(name="price", unit="EUR", low=10, high=110, default=30)
KM = Feature(name="km", unit="km", low=-5, high=5, default=0)
FEATURES = Features((PRICE, KM))


def test_low_is_zero_and_high_is_one_and_a_missing_number_is_the_default() -> None:
    rows = FEATURES.read([{"price": 10, "km": 5.0}, {"price": None}, None, {}])
    assert rows.values.dtype == np.float32
    assert rows.values.tolist() == [[0, 1], *[[pytest.approx(0.2), 0.5]] * 3]
    assert (rows.clipped, rows.unused, rows.faults) == ({}, {}, {})
    assert FEATURES.defaults.tolist() == rows.values[2].tolist()


def test_a_number_out_of_range_counts_as_the_nearest_bound_and_is_named() -> None:
    rows = FEATURES.read([{"price": 10}, {"price": 9.99, "km": 1e300}, {"price": 110}, {"km": -(2**70)}])
    assert rows.clipped == {1: ["price", "km"], 3: ["km"]}
    assert rows.values[1].tolist() == [0, 1]
    assert rows.values[3, 1] == 0


@pytest.mark.parametrize("value", ["12", "", True, False, math.nan, math.inf, -math.inf, [1], {}, 10**400])
def test_what_is_no_finite_number_is_a_fault_of_that_candidate_alone(value: object) -> None:
    rows = FEATURES.read([{"price": 60}, {"price": value, "km": 5}, {"price": 60}])
    assert list(rows.faults) == [1]
    assert str(rows.faults[1]).startswith("feature 'price' is not a ")
    assert str(value) not in str(rows.faults[1]).replace("feature", "") or value == ""
    assert rows.values[[0, 2], 0].tolist() == [0.5, 0.5]
    assert rows.values[1].tolist() == FEATURES.defaults.tolist()


def test_features_that_the_model_does_not_have_are_named_and_change_nothing() -> None:
    rows = FEATURES.read([{"age": 3, "price": 60}, {"age": "x"}])
    assert rows.unused == {0: ["age"], 1: ["age"]}
    assert rows.faults == {}
    assert Features().read([{"age": 3}]).values.shape == (1, 0)


VALUES = st.one_of(
    st.none(), st.floats(), st.integers(), st.booleans(), st.text(max_size=3), st.just(10**400), st.lists(st.integers())
)


@given(sent=st.lists(st.none() | st.dictionaries(st.sampled_from(["price", "km", "age"]), VALUES), max_size=6))
def test_a_candidate_is_read_as_it_would_be_alone(sent: list[dict[str, object] | None]) -> None:
    together = FEATURES.read(sent)
    for place, each in enumerate(sent):
        alone = FEATURES.read([each])
        assert together.values[place].tolist() == alone.values[0].tolist()
        assert together.clipped.get(place) == alone.clipped.get(0)
        assert together.unused.get(place) == alone.unused.get(0)
        assert str(together.faults.get(place)) == str(alone.faults.get(0))
    assert ((together.values >= 0) & (together.values <= 1)).all()


def test_training_scales_numbers_as_serving_does() -> None:
    raw = np.array([[10.0, math.nan], [500.0, 2.5]])
    assert FEATURES.scaled(raw).tolist() == FEATURES.read([{"price": 10}, {"price": 500, "km": 2.5}]).values.tolist()


def test_the_numbers_of_a_request_count_before_the_stored_ones() -> None:
    assert merged({"a": 1.0, "b": 2.0}, {"b": 3, "c": 4, "a": None}) == {"a": 1.0, "b": 3, "c": 4}
    assert merged({"a": 1.0}, None) == {"a": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"low": 5, "high": 5},
        {"low": 9, "high": 1},
        {"default": 111},
        {"high": math.inf},
        {"default": math.nan},
        {"name": ""},
        {"low": -1e308, "high": 1.7e308},
    ],
)
def test_a_range_that_is_none_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Feature.model_validate({**PRICE.model_dump(), **changes})
