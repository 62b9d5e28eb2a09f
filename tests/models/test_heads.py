"""A head that cannot be answered says so, and the bundle of a head that always answers is as before."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.heads import UNANSWERED, Calibration, Head, calibrate

PLAIN = Head(name="relevance", meaning="fits")
GATED = Head(
    name="constraints",
    meaning="meets the terms",
    calibration=Calibration(slope=2.0, intercept=0.0),
    answerable=Calibration(slope=1.0, intercept=-1.0),
)


def test_a_head_answers_where_the_texts_more_likely_than_not_say() -> None:
    logits = np.array([[0.0, 0.5, 1.1], [0.0, 0.5, 0.9]], np.float32)
    relevance, constraints = calibrate((PLAIN, GATED), logits).T
    assert relevance.tolist() == [0.5, 0.5]
    assert constraints.tolist() == [pytest.approx(1 / (1 + math.exp(-1.0))), UNANSWERED]


def test_each_gated_head_has_its_own_output_after_the_values() -> None:
    other = GATED.model_copy(update={"name": "domain"})
    found = calibrate((GATED, PLAIN, other), np.array([0.0, 0.0, 0.0, 5.0, -5.0], np.float32))
    assert (found == UNANSWERED).tolist() == [False, False, True]


def test_a_head_that_always_answers_is_written_as_before() -> None:
    assert set(PLAIN.model_dump()) == {"name", "meaning", "calibration"}
    assert Head.model_validate_json(GATED.model_dump_json()) == GATED
