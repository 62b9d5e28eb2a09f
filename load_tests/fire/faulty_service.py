"""The service as though requests did not hold on to the model that they began with: an answer states whichever is live
when it is made. The negative control of the swaps.
"""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace

from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.request import ScoringRequest
from service.scoring.blending import ScoringResult
from service.scoring.pipeline import ScoringPipeline


def confuse() -> None:
    """From now on answers name the model of their end, not of their beginning."""
    score = ScoringPipeline.score

    async def confused(
        scoring: ScoringPipeline, order: ScoringRequest, timings: Timings, candidate: LiveModel | None = None
    ) -> ScoringResult:
        answer = await score(scoring, order, timings, candidate)
        return replace(answer, model=scoring._current.live or answer.model)

    ScoringPipeline.score = confused  # type: ignore[method-assign, assignment]  # replaced on purpose, in this process alone


if __name__ == "__main__":
    confuse()
    sys.argv = ["service"]
    runpy.run_module("service", run_name="__main__", alter_sys=True)
