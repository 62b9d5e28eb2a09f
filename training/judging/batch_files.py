"""The judge by batch files: requests out and answers in, as the Batch API's JSONL, without an endpoint.

    batch-00001.jsonl   {"custom_id", "method", "url", "body"} a line; written once, with at most `MOST_REQUESTS` lines
    answers             {"custom_id", "response": {"status_code", "body"}, "error"} a line, in any order

A request is recorded as sent before its file is complete, so that no later file holds it again. Rows count from 1, as
in editors. Knows no policy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.files import write_whole
from training.judging.answer_cache import Answer, AnswerCache
from training.judging.llm_client import Endpoint, InBatch, read_completion, request_body, request_key
from training.policy.prompt import MalformedAnswer, Message

MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000
"""Limits of the Batch API (50,000 requests, 200 MB), and a little less."""
SHOWN = 20


class BadBatch(UserError):
    """Answers that cannot be used, a sentence each with file, row and column. All good answers were kept."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        super().__init__("\n".join([*problems[:SHOWN], *more]))
        self.problems = tuple(problems)


@dataclass
class BatchFiles:
    """Answers from the cache; a request without one goes into a batch file in `folder`. `close` writes the files.

    Where a run was killed before, the requests that it had recorded in an unwritten file are put there again.
    """

    endpoint: Endpoint
    answers: AnswerCache
    folder: Path
    most_requests: int = MOST_REQUESTS
    most_bytes: int = MOST_BYTES
    _lines: dict[str, list[bytes]] = field(default_factory=dict)
    _put: set[str] = field(default_factory=set)
    _bytes: int = 0
    _open: str = ""

    async def ask(self, messages: Sequence[Message]) -> Answer:
        """Raises InBatch while the answer is not there, and BudgetSpent."""
        key = request_key(self.endpoint, messages)
        known = self.answers.answer(key)
        if known is not None:
            return known
        held = self.answers.batch_of(key)
        batch = held.name if held else self._batch()
        if held is None:
            self.answers.put_in_batch(key, self.endpoint.at_most(messages), batch)
        if key not in self._put and (held is None or not held.is_written):
            self._put.add(key)  # pairs of the same texts are one request
            body = request_body(self.endpoint, messages)
            line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
            self._lines.setdefault(batch, []).append(json.dumps(line).encode() + b"\n")
            self._bytes += len(self._lines[batch][-1])
        raise InBatch(f"{batch}.jsonl")

    def close(self) -> list[Path]:
        """Write the files; returns them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        written = []
        for batch in list(self._lines):
            written.append(self._write(batch))
        return written

    def _batch(self) -> str:
        """The batch that takes the next request, after a full one was written."""
        if not self._open:
            self._open = self.answers.open_batch(asks(self.endpoint))
        if len(self._lines.get(self._open, ())) >= self.most_requests or self._bytes >= self.most_bytes:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(self._open)
            self._open = self.answers.open_batch(asks(self.endpoint))
        return self._open

    def _write(self, batch: str) -> Path:
        path = self.folder / f"{batch}.jsonl"
        write_whole(path, b"".join(self._lines.pop(batch)))
        self.answers.batch_is_written(batch)
        self._bytes = 0
        return path


def asks(endpoint: Endpoint) -> str:
    """What a batch file asks: one model at one address."""
    return f"{endpoint.model} at {endpoint.base_url}"


Check = Callable[[Answer], object]
"""Raises MalformedAnswer for an answer without usable grades."""


def read_batch(
    path: Path, endpoints: Sequence[Endpoint], answers: AnswerCache, folder: Path, check: Check, *, lost: bool = False
) -> int:
    """Keep the answers of a file; returns how many are new. Raises BadBatch after all good answers were kept.

    `endpoints` have the prices of each model. A request whose answer is an error has no cost and may be asked again.
    One without any answer may have been paid for: it is asked again only if it is given up as `lost`.
    """
    reader = _Reader(path, endpoints, answers, check)
    with answers.at_once():
        for row, line in enumerate(_read_lines(path), start=1):
            if line.strip():
                reader.read(row, line)
        for batch in sorted(reader.batches):
            reader.problems += _missing(path, batch, answers, folder, lost=lost)
    if reader.problems:
        raise BadBatch(reader.problems)
    return reader.new


def _read_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise BadBatch([f"{path}: cannot be read ({type(error).__name__})"]) from error


def _missing(path: Path, batch: str, answers: AnswerCache, folder: Path, *, lost: bool) -> Iterator[str]:
    waiting = answers.waiting_in(batch)
    if lost:
        for key in waiting:
            answers.take_back(key)
        return
    if waiting:
        rows = [row for row, key in enumerate(_keys(folder / f"{batch}.jsonl"), start=1) if key in waiting]
        first = f"row {rows[0]}" if rows else "a row"
        yield (
            f"{folder / batch}.jsonl: {first}, column 'custom_id': {path.name} has no answer to this request, and to"
            f" {len(waiting)} of the batch in all; read the file with the others, or give them up with --batch-lost"
        )


def _keys(path: Path) -> Iterator[str]:
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield json.loads(line)["custom_id"]


@dataclass
class _Reader:
    path: Path
    endpoints: Sequence[Endpoint]
    answers: AnswerCache
    check: Check
    problems: list[str] = field(default_factory=list)
    batches: set[str] = field(default_factory=set)
    new: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    def read(self, row: int, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self._problem(row, "custom_id", "the line is not a JSON object")
            return
        key = said.get("custom_id")
        held = self.answers.batch_of(key) if isinstance(key, str) else None
        if not isinstance(key, str) or held is None:
            self._problem(row, "custom_id", "no batch of this recipe has such a request")
        elif key in self._seen:
            self._problem(
                row, "custom_id", f"a second answer to the request of row {self._seen[key]}; the first counts"
            )
        else:
            self._seen[key] = row
            self.batches.add(held.name)
            self._keep(row, key, held.model, said)

    def _keep(self, row: int, key: str, model: str, said: dict[str, Any]) -> None:
        response = said.get("response")
        status = response.get("status_code") if isinstance(response, dict) else None
        known = self.answers.answer(key)
        if status != HTTPStatus.OK or not isinstance(response, dict):
            if known is None:
                self.answers.take_back(key)
            error = said.get("error")
            code = error.get("code") if isinstance(error, dict) else None
            self._problem(row, "response", f"no answer (status {status}, {code}); the next batch asks again")
            return
        endpoint = next((each for each in self.endpoints if asks(each) == model), self.endpoints[0])
        found = read_completion(json.dumps(response.get("body")).encode(), endpoint, self.answers.cost_of(key))
        if known is None:
            self.answers.receive(key, found)
            self.new += 1
        elif (known.content, known.finish) != (found.content, found.finish):
            self._problem(row, "custom_id", "another answer to this request was read before; that one counts")
            return
        try:
            self.check(found)
        except MalformedAnswer as error:
            self._problem(row, "response", f"the answer cannot be used ({error}); the next batch asks once more")

    def _problem(self, row: int, column: str, words: str) -> None:
        self.problems.append(f"{self.path}: row {row}, column {column!r}: {words}")
