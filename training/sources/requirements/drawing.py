"""Draws the lists of the set `requirements`: one member, minimal pairs of jobs, variants of a base job, other jobs.

In a minimal pair ("twins") one dimension differs and the words are the same, and the member decides which of the two
fits: the needed and the wished skill change places, the other level is that of a colleague, the other town is that of
the head office. So neither word overlap nor the job alone tells the better one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from models.template import Fields
from training.sources.requirements.facts import DIMENSIONS, Need, Post, Undecided, grades
from training.sources.requirements.jobs import Draws, World
from training.sources.requirements.texts import job_fields, member_fields
from training.sources.requirements.vocabulary import Item
from training.sources.requirements.voice import Voice

LEAST, MOST = 12, 20  # jobs of a list
OTHERS = ("same", "same", "same", "same", "near", "far", "far")
ATTEMPTS = 12


@dataclass(frozen=True)
class Pair:
    """A job of a list. `change` says what sets it apart; jobs with the same `twins` form a minimal pair."""

    fields: Fields
    grades: dict[str, int | None]
    overall: int
    change: str
    twins: int | None = None


@dataclass(frozen=True)
class RequirementList:
    """One member and its jobs; `focus` is the dimension of its minimal pairs, or "all"."""

    occupation: str
    focus: str
    member: Fields
    pairs: tuple[Pair, ...]


def twin_posts(draws: Draws, base: Post, dimension: str) -> tuple[Post, Post]:
    """Two jobs that differ in one dimension and use the same words. Raises Undecided where the list has none."""
    if dimension == "seniority":
        if draws.person.seeks:
            raise Undecided
        same_role = [lv for lv in range(draws.top + 1) if lv != base.level and (lv >= 5) == (base.level >= 5)]
        off = draws.rng.choice(same_role)
        return replace(base, beside=off), replace(base, level=off, beside=base.level)
    if dimension == "constraints":
        return _term_twins(draws, base)
    if dimension == "domain":
        mine = draws.person.industry
        off_field = draws.rng.choice([name for name in draws.fields() if name != mine])
        return (
            replace(base, industry=mine, other_industry=off_field),
            replace(base, industry=off_field, other_industry=mine),
        )
    return _skill_twins(draws, base)


def _term_twins(draws: Draws, base: Post) -> tuple[Post, Post]:
    if draws.term_twins is None:
        raise Undecided
    kind, values = draws.term_twins
    one, two = (tuple((k, value if k is kind else v) for k, v in base.terms) for value in values)
    balanced = frozenset({kind.name})
    return replace(base, terms=one, balanced=balanced), replace(base, terms=two, balanced=balanced)


def _skill_twins(draws: Draws, base: Post) -> tuple[Post, Post]:
    """Need and plus change places; "and" and "or"; the main need and another; a tool and its relative."""
    rng, has = draws.rng, draws.has
    place, lacked = rng.randrange(len(has)), rng.choice(draws.missing)
    plain = [Need((item,)) for item in has]

    def post(needs: Sequence[Need], plus: Sequence[Item] = (), unused: Sequence[Item] = ()) -> Post:
        return replace(base, needs=replace(base.needs, needs=tuple(needs), plus=tuple(plus), unused=tuple(unused)))

    def instead(item: Item) -> list[Need]:
        return [*plain[:place], Need((item,)), *plain[place + 1 :]]

    roll = rng.random()
    if roll < 0.28:
        return post(plain, plus=[lacked]), post(instead(lacked), plus=[has[place]])
    if roll < 0.4:
        return post(plain, unused=[lacked]), post(instead(lacked), unused=[has[place]])
    if roll < 0.65:
        return _and_or(draws, post)
    if roll < 0.85:
        more = plain[1:2]
        return post([plain[0], Need((lacked,)), *more]), post([Need((lacked,)), plain[0], *more])
    own = {item.name for item in draws.items(draws.occupation)}
    relatives = [item for item in draws.relatives(has[place]) if item.name in own]
    if not relatives or has[place] not in draws.person.shown:
        raise Undecided
    near = rng.choice(relatives)
    return post(plain, unused=[near]), post(instead(near), unused=[has[place]])


def _and_or(draws: Draws, post: Callable[..., Post]) -> tuple[Post, Post]:
    """The job with "or" is the better one as often as the job with "and", so that the word alone says nothing."""
    rng, has = draws.rng, draws.has
    if len(has) < 3 or len(draws.missing) < 3:
        raise Undecided
    main, (one, two, three) = Need((has[0],)), rng.sample(draws.missing, 3)
    if rng.random() < 0.5:
        both = rng.sample([has[1], one], 2)
        either = [main, Need(tuple(rng.sample(both, 2)))]
        return post(either, [two, three]), post([main, *(Need((i,)) for i in both)], [two, three])
    return post([main, Need((has[1],)), Need((has[2],))], [one, two]), post([main, Need((one, two))], has[1:3])


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
