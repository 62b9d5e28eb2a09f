"""A client that openapi-python-client generates from the service's own contract, without a warning."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.matrix.asking import KEY, Ask, Client, Found, found

PACKAGE = "fitscore_generated"


@cache
def _package(url: str) -> str:
    """Generate the package once, and make it importable. Its name."""
    folder = tempfile.mkdtemp()
    programs = Path(sys.executable).parent
    command = [str(programs / "openapi-python-client"), "generate", "--fail-on-warning", "--meta", "none"]
    command += ["--url", f"{url}/openapi.json", "--output-path", f"{folder}/{PACKAGE}"]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}  # it calls ruff
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, folder)
    return PACKAGE


def _module(ask: Ask, name: str) -> Any:
    if PACKAGE not in sys.modules:
        _package(ask.url)
    return importlib.import_module(f"{PACKAGE}.{name}")


def _called(ask: Ask, operation: str, body: Any) -> Any:
    client = _module(ask, "client").AuthenticatedClient(base_url=ask.url, token=KEY)
    answer = _module(ask, f"api.scoring.{operation}").sync(client=client, body=body)
    if type(answer).__name__ == "Problem":
        raise RuntimeError(f"{answer.status}: {answer.detail}")
    return answer


def rerank(ask: Ask) -> Found:
    body = _module(ask, "models").RerankRequest(query=ask.query, documents=list(ask.documents), top_n=ask.top_n)
    answer = _called(ask, "rerank_rerank_post", body)
    assert answer.meta.api_version.version == "2"
    return found(((each.index, each.relevance_score) for each in answer.results), answer.usage.total_tokens)


def rerank_texts(ask: Ask) -> Found:
    body = _module(ask, "models").RerankRequest(query=ask.query, texts=list(ask.documents), top_n=ask.top_n)
    return found((each.index, each.score) for each in _called(ask, "rerank_rerank_post", body))


def score(ask: Ask) -> Found:
    models = _module(ask, "models")
    candidates = [models.Candidate(id=str(index), text=text) for index, text in enumerate(ask.documents)]
    body = models.ScoreRequest(member=models.Member(text=ask.query), candidates=candidates, deadline_ms=10_000)
    answer = _called(ask, "score_score_post", body)
    scores = sorted(((int(each.id), each.score or 0.0) for each in answer.scores), key=lambda each: -each[1])
    tokens = answer.member.tokens_read + sum(each.tokens_read for each in answer.scores)
    return found(scores, tokens)


BASE = "base_url=URL"
CLIENTS = (
    Client("openapi-python-client", "rerank, documents", BASE, "/rerank", rerank, tokens=True),
    Client("openapi-python-client", "rerank, texts", BASE, "/rerank", rerank_texts),
    Client("openapi-python-client", "score", BASE, "/score", score, top=False, tokens=True),
)
