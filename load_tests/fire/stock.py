"""FastAPI and uvicorn as they come: what the hostile figures are held against. `python -m load_tests.fire.stock`."""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Question(BaseModel):
    """About what a first draft of a scorer would take."""

    member: dict[str, object]
    candidates: list[dict[str, object]]
    deadline_ms: float = 1000


def app() -> FastAPI:
    """Two routes, and nothing that a framework does not do by itself."""
    made = FastAPI()

    @made.get("/readyz")
    async def ready() -> dict[str, str]:
        return {}

    @made.post("/score")
    async def score(question: Question) -> Question:
        return question

    return made


if __name__ == "__main__":
    uvicorn.run(app(), port=int(os.environ["FITSCORE_PORT"]), log_level="critical")
