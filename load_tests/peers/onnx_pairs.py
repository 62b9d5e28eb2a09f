"""The model behind every peer that batches on its own: the common ONNX file, with requests in and answers out.

The pairs of all requests of a batch go through the session together, MAX_PAIRS at a time. Independent of `models` and
`service`, which must neither help nor slow a peer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

# Requests that a peer may join in one batch, and how long it waits for them: what their guides suggest for short calls.
MAX_REQUESTS = 16
WAIT_S = 0.005
ANSWER_S = 600
MAX_PAIRS = 128
"""Pairs of one run: four joined lists at once took 7 GB of memory."""


@dataclass(frozen=True)
class Place:
    """Where a peer finds its model and listens, from the environment: some peers parse the command line themselves."""

    graph: str
    tokenizer: str
    max_tokens: int
    port: int

    @classmethod
    def read(cls) -> Place:
        found = os.environ
        return cls(found["PEER_GRAPH"], found["PEER_TOKENIZER"], int(found["PEER_MAX_TOKENS"]), int(found["PEER_PORT"]))


class PairScorer:
    """Scores the candidates of several requests in one run."""

    def __init__(self, place: Place) -> None:
        self._session = ort.InferenceSession(place.graph, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(place.tokenizer)
        self._tokenizer.enable_truncation(place.max_tokens)
        self._tokenizer.enable_padding()

    def answers(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
        """An answer to each request, in the shape of `POST /score`."""
        pairs = [(each["member"]["text"], one["text"]) for each in requests for one in each["candidates"]]
        runs = [self._run(pairs[start : start + MAX_PAIRS]) for start in range(0, len(pairs), MAX_PAIRS)]
        values = iter([value for run in runs for value in run])
        return [{"scores": [_score(one["id"], next(values)) for one in each["candidates"]]} for each in requests]

    def _run(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """A probability for each pair, from one run."""
        encoded = self._tokenizer.encode_batch(pairs)
        feeds = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
            "token_type_ids": np.array([one.type_ids for one in encoded], dtype=np.int64),
        }
        (logits,) = self._session.run(None, feeds)
        probabilities: list[float] = (1 / (1 + np.exp(-logits[:, 0]))).tolist()
        return probabilities


def _score(name: str, value: float) -> dict[str, object]:
    return {"id": name, "score": value, "status": "scored"}
