"""Realistic ranking traffic from a seed: members, and candidate lists of mixed sizes and text lengths.

Candidates recur between requests, popular ones more often, so that caches behave as in production. Knows no HTTP and no
server. The same mix always gives the same requests.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice

ROLES = (
    "data engineer, nurse, welder, accountant, product manager, electrician, teacher, chef, paralegal,"
    " driver, pharmacist, software developer, sales representative, civil engineer, warehouse operative,"
    " graphic designer, dental hygienist, machine operator, project manager, security analyst, translator,"
    " plumber, economist, laboratory technician"
).split(", ")
LEVELS = ("junior", "senior", "lead", "trainee", "principal", "assistant", "head", "certified")
WORDS = (
    "team design report customer safety budget python spark sql patient care schedule training quality"
    " contract maintain repair inspect analyse plan deliver support manage review develop test document"
    " communicate negotiate prepare record equipment machine software network database cloud pipeline"
    " model dashboard audit tax invoice payroll supplier stock delivery vehicle route kitchen menu hygiene"
    " lesson pupil curriculum research laboratory sample medicine treatment clinic hospital legal case"
    " client drawing structure site material steel pipe circuit voltage panel install operate monitor"
    " improve process standard policy risk compliance forecast strategy market campaign brand content"
    " translate interview hire coach lead mentor remote hybrid full-time part-time shift night benefits"
    " pension salary experience degree certificate licence required preferred responsible able strong"
    " excellent knowledge skills years working with and the of in for to a on by from within across under"
).split()


@dataclass(frozen=True, slots=True)
class Text:
    """A member's or a candidate's text under its id."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class RankingRequest:
    """A member and the candidates to score."""

    member: Text
    candidates: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Mix:
    """Parameters of the traffic. Lengths are in words, log-normal with these medians and this sigma."""

    seed: int = 0
    sizes: tuple[int, ...] = (1, 10, 25, 50, 100, 250)
    size_weights: tuple[float, ...] = (10, 25, 30, 22, 10, 3)
    member_words: float = 60
    candidate_words: float = 110
    sigma: float = 0.6
    longest_words: int = 1200
    # Share of popular candidates in a list: they are shown to many members within minutes, the others once.
    repeated: float = 0.7
    popular: int = 2000

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.size_weights) or min(self.sizes) < 1:
            raise ValueError("sizes must be positive and have one weight each")
        if not 0 <= self.repeated <= 1:
            raise ValueError("repeated must be between 0 and 1")


def requests(mix: Mix) -> Iterator[RankingRequest]:
    """Endless requests; the same mix gives the same ones."""
    rng = random.Random(mix.seed)
    popular = [Text(f"popular-{rank}", _candidate(rng, mix)) for rank in range(mix.popular)]
    # Zipf: the k-th most popular candidate is drawn in proportion to 1 / k.
    weights = list(accumulate(1 / (rank + 1) for rank in range(mix.popular)))
    for num in count():
        (size,) = rng.choices(mix.sizes, mix.size_weights)
        num_repeated = sum(rng.random() < mix.repeated for _ in range(size))
        # A list has no duplicates: fresh candidates replace repeated draws.
        shown = dict.fromkeys(rng.choices(popular, cum_weights=weights, k=num_repeated))
        fresh = (Text(f"fresh-{num}-{place}", _candidate(rng, mix)) for place in range(size - len(shown)))
        candidates = [*shown, *fresh]
        rng.shuffle(candidates)
        yield RankingRequest(Text(f"m-{num}", _member(rng, mix)), tuple(candidates))


def fixed_candidates(mix: Mix, num: int) -> list[Text]:
    """A fixed set of candidates, which a server may know before the first request."""
    rng = random.Random(f"candidates {mix.seed}")
    return [Text(f"fixed-{rank}", _candidate(rng, mix)) for rank in range(num)]


def requests_for(candidates: Sequence[Text], mix: Mix) -> Iterator[RankingRequest]:
    """Endless requests that draw from these candidates, each with a new member; sizes are those of the mix."""
    rng = random.Random(f"lists {mix.seed}")
    for num in count():
        (size,) = rng.choices(mix.sizes, mix.size_weights)
        yield RankingRequest(Text(f"m-{num}", _member(rng, mix)), tuple(rng.sample(candidates, size)))


def _words(rng: random.Random, median: float, mix: Mix) -> str:
    length = round(rng.lognormvariate(math.log(median), mix.sigma))
    return " ".join(rng.choices(WORDS, k=min(max(length, 1), mix.longest_words)))


def _member(rng: random.Random, mix: Mix) -> str:
    skills = ", ".join(rng.sample(WORDS, 5))
    return f"{rng.choice(LEVELS)} {rng.choice(ROLES)}. Skills: {skills}. {_words(rng, mix.member_words, mix)}"


def _candidate(rng: random.Random, mix: Mix) -> str:
    return f"{rng.choice(LEVELS)} {rng.choice(ROLES)}. {_words(rng, mix.candidate_words, mix)}"


def first(mix: Mix, num: int) -> list[RankingRequest]:
    """The first `num` requests of the mix."""
    return list(islice(requests(mix), num))
