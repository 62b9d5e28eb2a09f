"""The service with a planted fault: an answer names the model that is live at its end, not the one that scored it.

The negative control of the swaps.
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


def mix_versions() -> None:
    """Plant the fault in this process."""
    score = ScoringPipeline.score

    async def faulty(
        scoring: ScoringPipeline, order: ScoringRequest, timings: Timings, candidate: LiveModel | None = None
    ) -> ScoringResult:
        answer = await score(scoring, order, timings, candidate)
        return replace(answer, model=scoring._current.live or answer.model)

    ScoringPipeline.score = faulty  # type: ignore[method-assign, assignment]  # replaced on purpose, in this process alone


if __name__ == "__main__":
    mix_versions()
    sys.argv = ["service"]
    runpy.run_module("service", run_name="__main__", alter_sys=True)
