"""Ray Serve: `@serve.batch` joins requests, one replica."""

from __future__ import annotations

from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from load_tests.peers.onnx_pairs import MAX_REQUESTS, WAIT_S, PairScorer, Place


@serve.deployment(max_ongoing_requests=512, ray_actor_options={"num_cpus": 1})
class Score:
    """`answers` gets the list of requests that Ray Serve has joined."""

    def __init__(self, place: Place) -> None:
        self.scorer = PairScorer(place)

    @serve.batch(max_batch_size=MAX_REQUESTS, batch_wait_timeout_s=WAIT_S)
    async def answers(self, requests: list[dict[str, Any]]) -> list[dict[str, object]]:
        return self.scorer.answers(requests)

    async def __call__(self, request: Request) -> dict[str, object]:
        answer: dict[str, object] = await self.answers(await request.json())
        return answer


if __name__ == "__main__":
    place = Place.read()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": place.port})
    application = Score.bind(place)  # type: ignore[attr-defined]  # the decorator made a deployment of the class
    serve.run(application, route_prefix="/score", blocking=True)
