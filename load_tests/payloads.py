"""A request in each server's format, and the content of an answer. Knows no sockets and no clocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from load_tests.traffic import RankingRequest, Text

Dialect = Literal["score", "batch", "rerank"]
PATHS: dict[Dialect, str] = {"score": "/score", "batch": "/score", "rerank": "/rerank"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request ready to send, and its number of pairs."""

    path: str
    body: bytes
    num_pairs: int
    headers: tuple[tuple[str, str], ...] = ()


def call(request: RankingRequest, dialect: Dialect = "score", deadline_ms: int | None = None) -> Call:
    """`score` is Fitscore's format, which most peers share; `rerank` is that of infinity, Cohere and Jina. `batch` is
    `score` in a list of one request, as BentoML takes it.

    A candidate without a text is one that the server has stored under its id.
    """
    if dialect == "rerank":
        head: dict[str, object] = {"model": "default", "query": request.member.text, "return_documents": False}
        name, listed = "documents", [_text(candidate) for candidate in request.candidates]
    else:
        head = {"member": {"id": request.member.id, "text": request.member.text}}
        if deadline_ms is not None:
            head["deadline_ms"] = deadline_ms
        name, listed = "candidates", [_candidate(candidate) for candidate in request.candidates]
    body = f'{json.dumps(head)[:-1]}, "{name}": [{", ".join(listed)}]}}'
    if dialect == "batch":
        body = f'{{"requests": [{body}]}}'
    return Call(PATHS[dialect], body.encode(), len(request.candidates))


# Cached, because candidates recur: encoding 250 for each list would cost the generator 2 ms.
@lru_cache(maxsize=8192)
def _candidate(candidate: Text) -> str:
    return json.dumps({"id": candidate.id, "text": candidate.text} if candidate.text else {"id": candidate.id})


@lru_cache(maxsize=8192)
def _text(candidate: Text) -> str:
    return json.dumps(candidate.text)


def upsert(candidates: Sequence[Text]) -> tuple[str, bytes]:
    """Path and body that store candidates in Fitscore."""
    return "/candidates", f'{{"candidates": [{", ".join(map(_candidate, candidates))}]}}'.encode()


def scored_pairs(call: Call, status: int, body: bytes) -> int:
    """How many pairs an answer scored. Counts substrings: parsing every answer would cost the generator too much."""
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
