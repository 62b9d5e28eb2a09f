"""A request in each server's words, and what an answer says. Knows no sockets and no clocks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from load_tests.traffic import Ask

Dialect = Literal["score", "rerank"]
PATHS: dict[Dialect, str] = {"score": "/score", "rerank": "/rerank"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request ready to send, and the number of pairs that it asks for."""

    path: str
    body: bytes
    num_pairs: int


def call(ask: Ask, dialect: Dialect = "score", deadline_ms: int | None = None) -> Call:
    """`score` is Fitscore's own shape (the naive peer speaks it too); `rerank` is what infinity, Cohere and
    Jina speak.
    """
    if dialect == "rerank":
        document: dict[str, object] = {
            "model": "default",
            "query": ask.member.text,
            "documents": [candidate.text for candidate in ask.candidates],
            "return_documents": False,
        }
    else:
        document = {
            "member": {"id": ask.member.id, "text": ask.member.text},
            "candidates": [{"id": candidate.id, "text": candidate.text} for candidate in ask.candidates],
        }
        if deadline_ms is not None:
            document["deadline_ms"] = deadline_ms
    return Call(PATHS[dialect], json.dumps(document).encode(), len(ask.candidates))


def scored_pairs(call: Call, status: int, body: bytes) -> int:
    """How many pairs an answer scored: read by counting, for parsing every answer would cost the generator
    too much.
    """
    if status != 200:
        return 0
    if call.path == PATHS["rerank"]:
        return min(body.count(b'"relevance_score"'), call.num_pairs)
    return min(body.count(b'"scored"'), call.num_pairs)


def server_timing(header: str) -> dict[str, float]:
    """Stage -> milliseconds, from a `Server-Timing` header such as `queue;dur=0.1, model;dur=2.5`."""
    stages: dict[str, float] = {}
    for entry in header.split(","):
        name, _, rest = entry.strip().partition(";")
        for parameter in rest.split(";"):
            key, _, value = parameter.strip().partition("=")
            if name and key == "dur":
                stages[name] = float(value)
    return stages
