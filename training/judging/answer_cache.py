"""Answer cache of the judge: requests, answers and costs in one SQLite file that survives the step and any kill.

A request is recorded with its maximal cost before it is sent, and its answer as soon as it arrives. So an answered
request is never sent or paid again, and the budget holds over all runs: a request that was in flight when the process
died counts at its maximal cost until it is answered. Knows no endpoint and no policy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

TABLE = """
CREATE TABLE IF NOT EXISTS requests (
    key TEXT PRIMARY KEY,      -- digest of the whole request
    answered INTEGER NOT NULL, -- 0: sent, without an answer yet
    content TEXT,              -- the model's text; NULL when the body had none
    finish TEXT,               -- why the model stopped
    tokens INTEGER NOT NULL,   -- in and out: as billed once answered, the maximum before
    dollars REAL NOT NULL
) STRICT
"""
BATCHES = """
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY,    -- of the request file
    model TEXT NOT NULL,      -- a file has requests to one model
    written INTEGER NOT NULL  -- 0: the file is not complete yet
) STRICT
"""
BATCHED = """
CREATE TABLE IF NOT EXISTS batched (
    key TEXT PRIMARY KEY,  -- digest of the request
    batch TEXT NOT NULL    -- the last batch that held it
) STRICT
"""


class BudgetSpent(Exception):
    """The next request could cost more than the rest of the budget."""


@dataclass(frozen=True)
class Spending:
    """Tokens, in and out together, and dollars."""

    tokens: int
    dollars: float


@dataclass(frozen=True)
class Answer:
    """An answer; `content` is None when the body had no usable text."""

    content: str | None
    finish: str
    cost: Spending


@dataclass(frozen=True)
class Batch:
    """A request file by name, the model that it asks, and whether it is complete on disk."""

    name: str
    model: str
    is_written: bool


class AnswerCache:
    """Requests and their answers, on disk. `budget` bounds the total cost of the file over all runs."""

    def __init__(self, path: Path, budget: Spending) -> None:
        self._budget = budget
        # Every write is a transaction of its own, on disk before the next request is sent.
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        for table in (TABLE, BATCHES, BATCHED):
            self._database.execute(table)

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def answer(self, key: str) -> Answer | None:
        row = self._database.execute(
            "SELECT content, finish, tokens, dollars FROM requests WHERE key = ? AND answered", (key,)
        ).fetchone()
        return Answer(row[0], row[1], Spending(row[2], row[3])) if row else None

    def spent(self, *, without: str = "") -> Spending:
        """Cost of all requests: as billed, or the maximum without an answer. `without` leaves one request out."""
        row = self._database.execute(
            "SELECT COALESCE(SUM(tokens), 0), COALESCE(SUM(dollars), 0.0) FROM requests WHERE key != ?", (without,)
        ).fetchone()
        return Spending(row[0], row[1])

    def cost_of(self, key: str) -> Spending:
        """What a request counts at now."""
        row = self._database.execute("SELECT tokens, dollars FROM requests WHERE key = ?", (key,)).fetchone()
        return Spending(*row) if row else Spending(0, 0.0)

    def send(self, key: str, at_most: Spending) -> None:
        """Record a request before it is sent. Raises BudgetSpent if it could exceed the budget."""
        spent = self.spent(without=key)
        tokens, dollars = spent.tokens + at_most.tokens, spent.dollars + at_most.dollars
        if tokens > self._budget.tokens or dollars > self._budget.dollars:
            raise BudgetSpent
        self._database.execute(
            "INSERT OR REPLACE INTO requests VALUES (?, 0, NULL, NULL, ?, ?)", (key, at_most.tokens, at_most.dollars)
        )

    def receive(self, key: str, answer: Answer) -> None:
        self._database.execute(
            "UPDATE requests SET answered = 1, content = ?, finish = ?, tokens = ?, dollars = ? WHERE key = ?",
            (answer.content, answer.finish, answer.cost.tokens, answer.cost.dollars, key),
        )

    def forget(self, key: str) -> None:
        """Remove a request that the endpoint refused: it has no answer and no cost."""
        self._database.execute("DELETE FROM requests WHERE key = ? AND NOT answered", (key,))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """All writes of the block, or none of them if the process dies."""
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def open_batch(self, model: str) -> str:
        """The name of the model's batch that takes new requests: the last one until its file is written."""
        row = self._database.execute("SELECT name FROM batches WHERE model = ? AND NOT written", (model,)).fetchone()
        if row:
            return str(row[0])
        (count,) = self._database.execute("SELECT COUNT(*) FROM batches").fetchone()
        name = f"batch-{count + 1:05d}"
        self._database.execute("INSERT INTO batches VALUES (?, ?, 0)", (name, model))
        return name

    def put_in_batch(self, key: str, at_most: Spending, batch: str) -> None:
        """Record a request as sent in this batch. Raises BudgetSpent."""
        self.send(key, at_most)
        self._database.execute("INSERT OR REPLACE INTO batched VALUES (?, ?)", (key, batch))

    def batch_is_written(self, batch: str) -> None:
        self._database.execute("UPDATE batches SET written = 1 WHERE name = ?", (batch,))

    def batch_of(self, key: str) -> Batch | None:
        """The batch that holds a request; None for a request in no batch."""
        row = self._database.execute(
            "SELECT name, model, written FROM batched JOIN batches ON batch = name WHERE key = ?", (key,)
        ).fetchone()
        return Batch(row[0], row[1], bool(row[2])) if row else None

    def waiting_in(self, batch: str) -> set[str]:
        """Keys of the batch's requests that have no answer yet."""
        rows = self._database.execute(
            "SELECT key FROM batched JOIN requests USING (key) WHERE batch = ? AND NOT answered", (batch,)
        )
        return {row[0] for row in rows}

    def take_back(self, key: str) -> None:
        """A request of a batch that has no answer and no cost: the next batch may hold it again."""
        self.forget(key)
        self._database.execute("DELETE FROM batched WHERE key = ?", (key,))
