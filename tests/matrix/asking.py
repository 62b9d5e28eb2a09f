"""What every client is asked, and what it gives back, in one form. It knows no library."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

KEY = "s3cret"
"""The key of the service. A client that cannot send a key fails."""


@dataclass(frozen=True)
class Ask:
    """A query and its documents. `url` is the service; `top_n` is how many results are wanted."""

    url: str
    query: str
    documents: tuple[str, ...]
    top_n: int


@dataclass(frozen=True)
class Found:
    """What the caller of a client gets: (index, score) in its order, and the tokens if the client passes them on."""

    ranking: tuple[tuple[int, float], ...]
    tokens: int | None = None


@dataclass(frozen=True)
class Client:
    """One call of one library.

    `base` says how a user points it at the service, where URL is the service's own address. `route` is the path that
    it must call. `top`: it takes a number of results. `tokens`: it passes usage on. `waits`: it repeats a request that
    is refused with 503. `patched` names what a user has to replace in the library. `reason` is what its error shows of
    a refused request, as a pattern.
    """

    library: str
    call: str
    base: str
    route: str
    rank: Callable[[Ask], Found]
    top: bool = True
    tokens: bool = False
    waits: bool = False
    patched: str = ""
    reason: str = "422"

    @property
    def name(self) -> str:
        return f"{self.library} {self.call}"

    @property
    def hides(self) -> bool:
        """Its error shows neither the status nor the reason."""
        return "Error" in self.reason


def found(pairs: Iterable[tuple[int, float]], tokens: int | None = None) -> Found:
    return Found(tuple((int(index), float(score)) for index, score in pairs), tokens)


def in_order(scores: Iterable[float]) -> Found:
    """The ranking of a client that gives a score for each document, in the order of the documents."""
    numbered = list(enumerate(scores))
    return found(sorted(numbered, key=lambda each: -each[1]))
