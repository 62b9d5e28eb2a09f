"""Gates: what passes, what fails, and what a sample cannot decide."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.decision.gates import (
    Gate,
    at_most,
    better,
    decidable_margin,
    not_worse,
    power_of_equal,
    verdict,
)
from training.evaluation.decision.lines import Line
from training.metrics.bootstrap import Interval


def line(mean: float, error: float, lists: int = 300) -> Line:
    found = Interval(mean, mean - 1.96 * error, mean + 1.96 * error)
    return Line("judged", "all", "student", "ndcg@10, minus jobs-v1", found, lists, lists, 20 * lists)


@pytest.mark.parametrize(
    ("mean", "error", "state"),
    [
        (0.0, 0.005, "passed"),
        (0.0, 0.02, "undecided"),
        (-0.01, 0.002, "passed"),
        (-0.03, 0.002, "failed"),
        (-0.2, 0.02, "failed"),
        (0.1, 0.02, "passed"),
    ],
)
def test_not_worse_needs_the_lower_bound_and_says_when_the_sample_is_too_small(
    mean: float, error: float, state: str
) -> None:
    assert not_worse("usajobs", line(mean, error), 0.02, "").state == state


def test_an_undecided_gate_says_how_many_lists_it_takes() -> None:
    found = not_worse("usajobs", line(0.0, 0.02), 0.02, "")
    assert "an equal model passes in 17% of samples like this: take 2,352 lists" in found.sentence


def test_power_is_that_of_simulated_equal_models() -> None:
    error, margin = 0.01, 0.02
    means = np.random.default_rng(0).normal(0, error, 20000)
    simulated = float((means - 1.96 * error >= -margin).mean())
    assert abs(power_of_equal(Interval(0, -1.96 * error, 1.96 * error), margin) - simulated) < 0.01


def test_the_margin_is_what_the_sample_decides() -> None:
    def margin(error: float) -> float:
        return decidable_margin(Interval(0, -1.96 * error, 1.96 * error), 0.002, 0.02)

    assert [margin(0.0), round(margin(0.003), 4), margin(0.1)] == [0.002, 0.0084, 0.02]


def test_better_needs_the_whole_interval() -> None:
    assert better("above", line(0.02, 0.005), "").state == "passed"
    assert better("above", line(0.02, 0.02), "").state == "failed"


def test_at_most() -> None:
    assert [at_most("ece", line(mean, 0.01), 0.05, "").state for mean in (0.05, 0.06)] == ["passed", "failed"]


def test_a_student_ships_only_if_every_gate_passed() -> None:
    passed = Gate("a", "passed", "")
    assert verdict([passed], "student", "test").ships
    for state in ("failed", "undecided", "not measured"):
        found = verdict([passed, Gate("b", state, "")], "student", "test")
        assert not found.ships
        assert f"1 of 2 gates did not pass. {state.capitalize()}: b." in found.sentence


def test_validation_lists_decide_nothing() -> None:
    found = verdict([Gate("a", "passed", ""), Gate("b", "failed", "")], "student", "valid")
    assert found.ships is None
    assert "1 of 2 gates pass; only the test split decides" in found.sentence


def test_without_a_student_nothing_ships() -> None:
    assert not verdict([], "", "test").ships


@pytest.mark.parametrize("gate", [better("x", None, "no source"), at_most("x", None, 1, "no source")])
def test_what_is_not_there_is_not_measured(gate: Gate) -> None:
    assert (gate.state, gate.sentence) == ("not measured", "no source")
