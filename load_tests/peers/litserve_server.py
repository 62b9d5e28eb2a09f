"""LitServe: its own batching of requests, one worker. It reads annotations at run time, so none is a string here."""

from typing import Any

import litserve as ls

from load_tests.peers.onnx_pairs import ANSWER_S, MAX_REQUESTS, WAIT_S, PairScorer, Place


class Api(ls.LitAPI):
    """`predict` gets the list of requests that LitServe has joined."""

    def setup(self, device: str) -> None:
        self.scorer = PairScorer(Place.read())

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def batch(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return inputs

    def predict(self, inputs: list[dict[str, Any]]) -> list[dict[str, object]]:
        return self.scorer.answers(inputs)

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        return output

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_REQUESTS, batch_timeout=WAIT_S, api_path="/score")
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=ANSWER_S)
    server.run(host="127.0.0.1", port=Place.read().port, generate_client_file=False, log_level="warning")
