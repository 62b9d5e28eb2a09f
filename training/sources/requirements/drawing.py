"""Draws the lists of the set `requirements`: one member, minimal pairs of jobs, variants of a base job, other jobs.

In a minimal pair ("twins") one dimension differs and the words are the same, and the member decides which of the two
fits: the needed and the wished skill change places, the other level is that of a colleague, the other town is that of
the head office. So neither word overlap nor the job alone tells the better one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from training.sources.requirements.facts import DIMENSIONS, Post, Undecided, grades
from training.sources.requirements.jobs import Draws, World
from training.sources.requirements.texts import job_fields, member_fields
from training.sources.requirements.twins import twin_posts
from training.sources.requirements.voice import Voice

LEAST, MOST = 12, 20  # jobs of a list
OTHERS = ("same", "same", "same", "same", "near", "far", "far")
ATTEMPTS = 12


@dataclass(frozen=True)
class Pair:
    """A job of a list. `change` says what sets it apart; jobs with the same `twins` form a minimal pair."""

    fields: dict[str, str]
    grades: dict[str, int | None]
    overall: int
    change: str
    twins: int | None = None


@dataclass(frozen=True)
class RequirementList:
    """One member and its jobs; `focus` is the dimension of its minimal pairs, or "all"."""

    occupation: str
    focus: str
    member: dict[str, str]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class _Drawing:
    seed: str
    draws: Draws

    def pair(self, post: Post, seed: str, change: str, twins: int | None = None) -> Pair:
        world = self.draws.world
        found = grades(self.draws.person, post)
        overall = world.policy.overall(found)
        if overall is None:
            raise Undecided
        return Pair(job_fields(Voice(seed, world.forms), post), found, overall, change, twins)

    def minimal_pair(self, base: Post, dimension: str, number: int) -> list[Pair]:
        """Both jobs in the same words."""
        seed = f"{self.seed} twins {number}"
        one, two = (self.pair(post, seed, dimension, number) for post in twin_posts(self.draws, base, dimension))
        if one.grades[dimension] == two.grades[dimension] or None in (one.grades[dimension], two.grades[dimension]):
            raise Undecided
        return [one, two]

    def variant(self, base: Post, change: str, seed: str) -> list[Pair]:
        post = self.draws.other(change) if change in ("same", "near", "far") else self.draws.changed(base, change)
        return [self.pair(post, seed, change)]

    def pairs(self) -> list[Pair]:
        """The base job, minimal pairs of the focus, variants of the base job, and other jobs."""
        draws, base = self.draws, self.draws.base()
        changes = [d for d in DIMENSIONS[1:] if d in draws.asks and (d != "constraints" or draws.person.stances)]
        whole = draws.focus == "all"
        found = [self.pair(base, f"{self.seed} base", "base")]
        for number, dimension in enumerate(changes if whole else [draws.focus] * 3):
            found += _tried(partial(self.minimal_pair, base, dimension, number))
        varied = changes if whole else [draws.focus] * 4
        for number, change in enumerate((*varied, draws.rng.choice(changes), *OTHERS)):
            seed = f"{self.seed} job {number if draws.rng.random() < 0.6 else 'base'}"
            found += _tried(partial(self.variant, base, change, seed))
        return found

    def draw(self) -> RequirementList:
        """Raises Undecided where too few jobs have grades, or all the same."""
        draws = self.draws
        once = {str(sorted(pair.fields.items())): pair for pair in reversed(self.pairs())}
        pairs = list(reversed(once.values()))[:MOST]
        if len(pairs) < LEAST or len({pair.overall for pair in pairs}) < 2:
            raise Undecided
        draws.rng.shuffle(pairs)
        member = member_fields(Voice(f"{self.seed} member", draws.world.forms), draws.person)
        return RequirementList(draws.occupation.code, draws.focus, member, tuple(pairs))


def _tried(make: Callable[[], list[Pair]]) -> list[Pair]:
    for _ in range(ATTEMPTS):
        try:
            return make()
        except Undecided:
            continue
    return []


def requirement_lists(world: World, count: int, seed: int) -> Iterator[RequirementList]:
    """`count` lists; the same world and seed give the same lists. ValueError where the world is too small for them."""
    made = 0
    for number in range(100 + 50 * count):
        if made == count:
            return
        name = f"requirements {seed} {number}"
        try:
            one = _Drawing(name, Draws(world, name)).draw()
        except Undecided:
            continue
        made += 1
        yield one
    if made < count:
        raise ValueError(f"{made} lists of {count} could be drawn from {len(world.codes)} occupations")
