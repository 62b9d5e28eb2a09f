"""A request in each server's words, and what an answer says. Knows no sockets and no clocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from load_tests.traffic import Ask, Text

Dialect = Literal["score", "rerank"]
PATHS: dict[Dialect, str] = {"score": "/score", "rerank": "/rerank"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request ready to send, and the number of pairs that it asks for."""

    path: str
    body: bytes
    num_pairs: int
    headers: tuple[tuple[str, str], ...] = ()


def call(ask: Ask, dialect: Dialect = "score", deadline_ms: int | None = None) -> Call:
    """`score` is Fitscore's own shape (the naive peer speaks it too); `rerank` is what infinity, Cohere and
    Jina speak. A candidate without a text is one that the server keeps under its id.
    """
    if dialect == "rerank":
        head: dict[str, object] = {"model": "default", "query": ask.member.text, "return_documents": False}
        name, listed = "documents", [_text(candidate) for candidate in ask.candidates]
    else:
        head = {"member": {"id": ask.member.id, "text": ask.member.text}}
        if deadline_ms is not None:
            head["deadline_ms"] = deadline_ms
        name, listed = "candidates", [_candidate(candidate) for candidate in ask.candidates]
    body = f'{json.dumps(head)[:-1]}, "{name}": [{", ".join(listed)}]}}'
    return Call(PATHS[dialect], body.encode(), len(ask.candidates))


# Kept, for lists show the same candidates again: made anew for each, they would take the generator 2 ms per 250.
@lru_cache(maxsize=8192)
def _candidate(candidate: Text) -> str:
    return json.dumps({"id": candidate.id, "text": candidate.text} if candidate.text else {"id": candidate.id})


@lru_cache(maxsize=8192)
def _text(candidate: Text) -> str:
    return json.dumps(candidate.text)


def upsert(candidates: Sequence[Text]) -> tuple[str, bytes]:
    """Path and body that give candidates to Fitscore to keep."""
    return "/candidates", f'{{"candidates": [{", ".join(map(_candidate, candidates))}]}}'.encode()


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
