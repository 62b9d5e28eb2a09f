"""The other side of batch files: answers a request file as a Batch API would, with the grades of `chat_server`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.chat_server import DIMENSIONS, grade_of

Line = dict[str, Any]


def requests_in(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pair_of(request: Line) -> dict[str, str]:
    """The texts that a request asks about."""
    question: str = request["body"]["messages"][1]["content"]
    pair: dict[str, str] = json.loads(question.split("\n", 1)[1])
    return pair


def answer_to(request: Line, **changes: object) -> Line:
    """A good answer; `changes` replace dimensions."""
    pair = pair_of(request)
    verdicts = {
        d: {"reason": f"by its {d}", "grade": grade_of(pair["member"], pair["candidate"], d)} for d in DIMENSIONS
    }
    return completed(request, json.dumps({**verdicts, **changes}))


def completed(request: Line, content: str, *, finish: str = "stop") -> Line:
    body = {
        "model": f"{request['body']['model']}-2026-01-01",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960},
    }
    return {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}


def expired(request: Line) -> Line:
    error = {"code": "batch_expired", "message": "too late"}
    return {"custom_id": request["custom_id"], "response": None, "error": error}


def write_lines(path: Path, lines: list[Line]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def answers_for(requests: Path, to: Path, answer: Callable[[Line], Line] = answer_to) -> Path:
    """A whole answer file, in turned order."""
    return write_lines(to, [answer(line) for line in requests_in(requests)][::-1])


def written(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("batch-*.jsonl"))
