"""sentence-transformers' CrossEncoder behind a small FastAPI endpoint, on torch, as its documentation suggests.

Has Fitscore's `POST /score` with `text`. Independent of `models` and `service`.
"""

from __future__ import annotations

import argparse

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import CrossEncoder


class Text(BaseModel):
    """A member or a candidate."""

    id: str
    text: str


class ScoreRequest(BaseModel):
    """The part of Fitscore's request that it reads."""

    member: Text
    candidates: list[Text]


def create_app(checkpoint: str, max_tokens: int) -> FastAPI:
    """The whole service. `predict` sorts by length, takes 32 pairs at once, and gives a sigmoid for a single label."""
    app = FastAPI()
    model = CrossEncoder(checkpoint, max_length=max_tokens, device="cpu")

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/score")
    def score(request: ScoreRequest) -> dict[str, object]:
        pairs = [(request.member.text, candidate.text) for candidate in request.candidates]
        probabilities = model.predict(pairs, show_progress_bar=False).tolist()
        answers = zip(request.candidates, probabilities, strict=True)
        return {"scores": [{"id": one.id, "score": value, "status": "scored"} for one, value in answers]}

    return app


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description="sentence-transformers' CrossEncoder")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--max-tokens", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    app = create_app(options.checkpoint, options.max_tokens)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
