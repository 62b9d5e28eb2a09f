"""What the judge asked, what came back, what it cost: one SQLite file that outlives the step and any kill.

A request is written down before it is sent, at the most that it can cost, and its answer as soon as it came. So nothing
that was answered is asked or paid again, and the budget holds over all runs: a request that was in flight when the
process died counts at its worst until it is answered. This file knows no endpoint and no policy.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

TABLE = """
CREATE TABLE IF NOT EXISTS requests (
    key TEXT PRIMARY KEY,      -- digest of the whole request
    answered INTEGER NOT NULL, -- 0: sent, and nothing came back yet
    content TEXT,              -- what the model said; NULL when the body held nothing usable
    finish TEXT,               -- why the model stopped
    tokens INTEGER NOT NULL,   -- in and out: as billed once answered, at most before
    dollars REAL NOT NULL
) STRICT
"""


class BudgetSpent(Exception):
    """The next request could cost more than is left."""


@dataclass(frozen=True)
class Spending:
    """Tokens in and out together, and money."""

    tokens: int
    dollars: float


@dataclass(frozen=True)
class Answer:
    """What came back; `content` is None when the body held nothing usable."""

    content: str | None
    finish: str
    cost: Spending


class AnswerCache:
    """Requests and their answers, on disk. `budget` bounds all that this file will ever hold."""

    def __init__(self, path: Path, budget: Spending) -> None:
        self._budget = budget
        # Every write is its own transaction, and on disk before the next request goes out.
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(TABLE)

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def answer(self, key: str) -> Answer | None:
        """The answer to a request, if it came."""
        row = self._database.execute(
            "SELECT content, finish, tokens, dollars FROM requests WHERE key = ? AND answered", (key,)
        ).fetchone()
        return Answer(row[0], row[1], Spending(row[2], row[3])) if row else None

    def spent(self, *, without: str = "") -> Spending:
        """What all requests cost: as billed, or at most where no answer came. `without` leaves one request out."""
        row = self._database.execute(
            "SELECT COALESCE(SUM(tokens), 0), COALESCE(SUM(dollars), 0.0) FROM requests WHERE key != ?", (without,)
        ).fetchone()
        return Spending(row[0], row[1])

    def send(self, key: str, at_most: Spending) -> None:
        """Write a request down before it goes out. Raises BudgetSpent when it might not be affordable."""
        spent = self.spent(without=key)
        tokens, dollars = spent.tokens + at_most.tokens, spent.dollars + at_most.dollars
        if tokens > self._budget.tokens or dollars > self._budget.dollars:
            raise BudgetSpent
        self._database.execute(
            "INSERT OR REPLACE INTO requests VALUES (?, 0, NULL, NULL, ?, ?)", (key, at_most.tokens, at_most.dollars)
        )

    def receive(self, key: str, answer: Answer) -> None:
        """Write the answer down."""
        self._database.execute(
            "UPDATE requests SET answered = 1, content = ?, finish = ?, tokens = ?, dollars = ? WHERE key = ?",
            (answer.content, answer.finish, answer.cost.tokens, answer.cost.dollars, key),
        )

    def forget(self, key: str) -> None:
        """The endpoint refused the request: nothing was answered, nothing is owed."""
        self._database.execute("DELETE FROM requests WHERE key = ? AND NOT answered", (key,))
