"""Team-draft interleaving: two rankings in one list, and which of them the clicks prefer. Pure.

Radlinski, Kurup and Joachims (2008): in each round a coin says which ranking picks first; each adds its best candidate
that is not in the list yet. A click counts for the ranking that placed the candidate. It takes far fewer lists than an
A/B test, and says which is better, not by how much.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.errors import UserError
from training.metrics.bootstrap import Interval
from training.metrics.cluster_bootstrap import clustered_interval
from training.metrics.measures import ratio


@dataclass(frozen=True)
class Placed:
    """A candidate of an interleaved list, and the version whose pick it was: the log's `policy_id`."""

    candidate_id: str
    policy_id: str


def team_draft(rankings: Mapping[str, Sequence[str]], length: int, seed: object) -> list[Placed]:
    """The list to show, from the rankings of two versions, best first; the same `seed` gives the same list.

    `seed`: the id of the request, so that a repeated one is answered alike. Raises UserError for other than two.
    """
    if len(rankings) != 2:
        raise UserError(f"interleaving takes two rankings, not {len(rankings)}")
    drawn, left = random.Random(repr(seed)), {name: list(ids) for name, ids in rankings.items()}
    taken: set[str] = set()
    placed: list[Placed] = []
    while len(placed) < length and any(left.values()):
        for name in drawn.sample(sorted(left), 2):
            best = next((each for each in left[name] if each not in taken), None)
            left[name] = left[name][left[name].index(best) + 1 :] if best is not None else []
            if best is not None and len(placed) < length:
                taken.add(best)
                placed.append(Placed(best, name))
    return placed


@dataclass(frozen=True)
class Preference:
    """Which version the actions prefer. `share`: of the lists with a winner, those that `first` won."""

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    share: Interval
    p: float

    @property
    def sentence(self) -> str:
        decided = self.wins + self.losses
        if not decided:
            return f"no list prefers {self.first} or {self.second}: there is nothing to compare"
        words = (
            f"{self.first} wins {self.share:.3f} of {decided} lists with a winner ({self.ties} ties), p = {self.p:.2g}"
        )
        if self.share.low > 0.5 or self.share.high < 0.5:
            return f"{words}: {self.first if self.share.low > 0.5 else self.second} is preferred"
        return f"{words}: neither is preferred; take more lists"


def preference(
    credits: Sequence[Mapping[str, float]], clusters: Sequence[str], versions: tuple[str, str]
) -> Preference:
    """Actions of each list by version -> the preferred one; the interval is drawn over clusters."""
    first, second = versions
    found = np.array([each.get(first, 0.0) - each.get(second, 0.0) for each in credits])
    won, lost = found > 0, found < 0
    sums = np.stack([won, won | lost], axis=1).astype(np.float64)
    wins, losses = int(won.sum()), int(lost.sum())
    share = clustered_interval([sums[None]], clusters, ratio)
    return Preference(first, second, wins, losses, len(found) - wins - losses, share, sign_test(wins, losses))


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p of a fair coin, exact up to 2,000 tosses, by the normal curve above."""
    tosses, least = wins + losses, min(wins, losses)
    if not tosses:
        return 1.0
    if tosses > 2000:
        return math.erfc((abs(wins - losses) - 1) / math.sqrt(2 * tosses))
    below = sum(math.comb(tosses, each) for each in range(least + 1))
    return float(min(1.0, 2 * below / 2**tosses))
