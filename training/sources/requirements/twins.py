"""Minimal pairs of jobs as facts: one dimension differs, and both jobs are told in the same words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from training.sources.requirements.facts import Need, Post, Undecided
from training.sources.requirements.jobs import Draws
from training.sources.requirements.vocabulary import Item


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
