"""The simplest peer: FastAPI with onnxruntime, as most teams write it.

A sync endpoint, padding to the longest pair, one `session.run` a request. Has Fitscore's `POST /score` with `text`.
Independent of `models` and `service`, which must neither help nor slow it.
"""

from __future__ import annotations

import argparse

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer


class Text(BaseModel):
    """A member or a candidate."""

    id: str
    text: str


class ScoreRequest(BaseModel):
    """The part of Fitscore's request that it reads."""

    member: Text
    candidates: list[Text]


def create_app(graph: str, tokenizer_file: str, max_tokens: int) -> FastAPI:
    """The whole service."""
    app = FastAPI()
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(tokenizer_file)
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding()

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/score")
    def score(request: ScoreRequest) -> dict[str, object]:
        pairs = [(request.member.text, candidate.text) for candidate in request.candidates]
        encoded = tokenizer.encode_batch(pairs)
        feeds = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
            "token_type_ids": np.array([one.type_ids for one in encoded], dtype=np.int64),
        }
        (logits,) = session.run(None, feeds)
        probabilities = 1 / (1 + np.exp(-logits[:, 0]))
        answers = zip(request.candidates, probabilities.tolist(), strict=True)
        return {"scores": [{"id": one.id, "score": value, "status": "scored"} for one, value in answers]}

    return app


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description="the naive peer")
    parser.add_argument("--graph", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--max-tokens", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    app = create_app(options.graph, options.tokenizer, options.max_tokens)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
