"""What a model's scores and texts look like on validation data, as counts: what live traffic is compared with.

Knows bins, neither models nor traffic.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCORE_BINS = 20
"""Of equal width, from 0 to 1."""
TOKEN_BOUNDS = (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Inclusive upper bounds of a text's tokens, read or cut; longer texts have a bin of their own."""
UNKNOWN_BOUNDS = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)
"""Inclusive upper bounds of the share of unknown tokens among those that are read."""
BINS = {"score": SCORE_BINS, "tokens": len(TOKEN_BOUNDS) + 1, "unknown": len(UNKNOWN_BOUNDS) + 1}

Kind = Literal["score", "tokens", "unknown"]
Counts = tuple[Annotated[int, Field(ge=0)], ...]


class Reference(BaseModel):
    """Counts by bin: of the answers of each head, and of the texts of each side by their tokens and unknown share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: Mapping[str, Counts]
    tokens: Mapping[Literal["member", "candidate"], Counts]
    unknown: Mapping[Literal["member", "candidate"], Counts]

    @model_validator(mode="after")
    def _bins(self) -> Reference:
        for kind, of, counts in self.rows():
            if len(counts) != BINS[kind]:
                raise ValueError(f"{kind}.{of} must have {BINS[kind]} counts")
        return self

    def rows(self) -> Iterable[tuple[Kind, str, Counts]]:
        """Each distribution: its kind, and the head or the side that it is of."""
        yield from (("score", head, counts) for head, counts in self.score.items())
        yield from (("tokens", side, counts) for side, counts in self.tokens.items())
        yield from (("unknown", side, counts) for side, counts in self.unknown.items())


def tokens_bin(tokens: int) -> int:
    """The bin of a text of so many tokens."""
    return bisect_left(TOKEN_BOUNDS, tokens)


def unknown_bin(unknown: int, read: int) -> int:
    """The bin of a text with so many unknown ones among the tokens that are read."""
    return bisect_left(UNKNOWN_BOUNDS, unknown / read if read else 0.0)
