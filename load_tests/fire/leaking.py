"""The service with a planted leak of 1 KiB a request: the negative control of the memory result."""

from __future__ import annotations

import runpy
import sys

from service.observability.metrics import Metrics

_KEPT: list[bytearray] = []


def leak() -> None:
    """Plant the leak in this process."""
    answered = Metrics.answered

    def leaking(metrics: Metrics, route: str, outcome: str, seconds: float) -> None:
        _KEPT.append(bytearray(1024))
        answered(metrics, route, outcome, seconds)

    Metrics.answered = leaking  # type: ignore[method-assign, assignment]  # replaced on purpose, in this process alone


if __name__ == "__main__":
    leak()
    sys.argv = ["service"]
    runpy.run_module("service", run_name="__main__", alter_sys=True)
