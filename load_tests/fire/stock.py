"""FastAPI and uvicorn with their defaults: the negative control of the hostile clients."""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class StockRequest(BaseModel):
    """A typical scoring request."""

    member: dict[str, object]
    candidates: list[dict[str, object]]
    deadline_ms: float = 1000


def app() -> FastAPI:
    """Two routes, and only the framework's own checks."""
    made = FastAPI()

    @made.get("/readyz")
    async def ready() -> dict[str, str]:
        return {}

    @made.post("/score")
    async def score(request: StockRequest) -> StockRequest:
        return request

    return made


if __name__ == "__main__":
    uvicorn.run(app(), port=int(os.environ["FITSCORE_PORT"]), log_level="critical")
