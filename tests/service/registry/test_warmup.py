"""Measuring a new model costs a start and a swap: nothing is run that no batch will be."""

import time
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest

from models.text import Pair, TextEncoder
from service.registry.warmup import BatchCaps, measured_operations
from tests.support.fakes import SumScorer


@pytest.mark.parametrize(("cap_s", "longest_run"), [(0.040, 8), (0.004, 1), (10.0, 64)])
def test_no_batch_is_run_beyond_the_first_one_over_the_cap(
    monkeypatch: pytest.MonkeyPatch, cap_s: float, longest_run: int
) -> None:
    now, largest = 0.0, 0

    class Scorer(SumScorer):
        def score(self, pairs: Sequence[Pair]) -> Any:
            nonlocal now, largest
            now += 0.007 * len(pairs)
            largest = max(largest, len(pairs))
            return super().score(pairs)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    encoder = Mock(TextEncoder, longest_pair=16)
    measured_operations(Scorer(), encoder, BatchCaps(tokens=64 * 16, seconds=cap_s), lambda: None)
    assert largest == longest_run
