"""Mosec: a front in Rust that joins requests, and one worker. Its port and time limit are settings of its own."""

from __future__ import annotations

from typing import Any

from mosec import Runtime, Server, Worker

from load_tests.peers.onnx_pairs import MAX_REQUESTS, WAIT_S, PairScorer, Place


class Score(Worker):
    """`forward` gets the list of requests that Mosec has joined."""

    def __init__(self) -> None:
        self.scorer = PairScorer(Place.read())

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, object]]:
        return self.scorer.answers(data)


if __name__ == "__main__":
    server = Server()
    runtime = Runtime(Score, num=1, max_batch_size=MAX_REQUESTS, max_wait_time=round(WAIT_S * 1000))
    server.register_runtime({"/score": [runtime]})
    server.run()
