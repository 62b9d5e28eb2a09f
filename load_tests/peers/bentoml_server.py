"""BentoML: an adaptive batch of requests, one worker. A call is a list itself, so it carries a list of one request."""

from __future__ import annotations

from typing import Any

import bentoml

from load_tests.peers.onnx_pairs import ANSWER_S, MAX_REQUESTS, PairScorer, Place


@bentoml.service(workers=1, traffic={"timeout": ANSWER_S})
class Score:
    """`score` gets the list of requests that BentoML has joined."""

    def __init__(self) -> None:
        self.scorer = PairScorer(Place.read())

    # BentoML learns how long to wait; a call that it expects to take longer than `max_latency_ms` is refused.
    @bentoml.api(batchable=True, max_batch_size=MAX_REQUESTS, max_latency_ms=ANSWER_S * 1000, route="/score")
    def score(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.scorer.answers(requests)
