"""A head that the texts do not answer is null, weighs nothing, and is not counted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.heads import UNANSWERED
from tests.support.fakes import SumScorer, loading
from tests.support.metrics import read
from tests.support.service import CANDIDATES, MEMBER, Running, Serve


def first_says_nothing_of_apply(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows[0, 1] = UNANSWERED
    return rows


@pytest.fixture
def running(serve: Serve) -> Running:
    return serve(load=loading(SumScorer(first_says_nothing_of_apply)))


def test_an_unanswered_head_is_null_and_the_others_make_the_score(running: Running) -> None:
    first, second = running.client.post("/score", json={"member": MEMBER, "candidates": CANDIDATES[:2]}).json()[
        "scores"
    ]
    assert first["status"] == "scored"
    assert first["heads"]["apply"] is None
    assert first["score"] == pytest.approx(first["heads"]["relevance"])
    mean = 0.7 * second["heads"]["relevance"] + 0.3 * second["heads"]["apply"]
    assert second["score"] == pytest.approx(mean)


def test_a_blend_of_unanswered_heads_alone_is_0(running: Running) -> None:
    body = {"member": MEMBER, "candidates": CANDIDATES[:2], "blend": {"apply": 1}}
    first, second = running.client.post("/score", json=body).json()["scores"]
    assert first["score"] == 0
    assert second["score"] == pytest.approx(second["heads"]["apply"])


def test_only_answers_are_counted(running: Running) -> None:
    running.client.post("/score", json={"member": MEMBER, "candidates": CANDIDATES[:2]})
    found = read(running)
    assert found['fitscore_head_score_count{head="relevance"}'] == 2
    assert found['fitscore_head_score_count{head="apply"}'] == 1
    assert found['fitscore_head_score_sum{head="apply"}'] > 0
