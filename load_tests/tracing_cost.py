"""Measures what traces cost a request: microseconds of the event loop after its answer, at several shares."""

from __future__ import annotations

import statistics
import time

from load_tests.report import json_line, table
from service.observability.requests import AnsweredRequest
from service.observability.tracing import Tracing
from tests.support.otlp_receiver import receiver

REQUEST = AnsweredRequest(
    id="r-1", method="POST", route="/score", status=200, outcome="ok", caller="ranking", model="jobs@1", num_pairs=250,
    seconds=0.02, parent=None,
    stages=dict.fromkeys(("read", "parse", "admit", "tokenize", "lookup", "encode", "queue", "model", "answer"), 0.002),
)  # fmt: skip
ROUNDS, REQUESTS = 7, 500


def cost_us(tracing: Tracing) -> float:
    """Microseconds of one call."""
    began = time.perf_counter()
    for _ in range(REQUESTS):
        tracing(REQUEST)
    return (time.perf_counter() - began) / REQUESTS * 1e6


def main() -> None:
    """Print the lowest and the median cost for each share."""
    rows = []
    with receiver() as collector:
        for share in (0, 0.01, 1):
            tracing = Tracing(collector.url, share)
            found = [cost_us(tracing) for _ in range(ROUNDS)]
            tracing.close()
            rows.append({"share": share, "lowest us": min(found), "median us": statistics.median(found)})
    print(table(rows))
    print(json_line("tracing_cost", {"rows": rows}))


if __name__ == "__main__":
    main()
