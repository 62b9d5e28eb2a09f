"""The shortcut audit: minimal pairs give nothing away to one side, to overlap, to length; a planted leak fails it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.small_world import DATA, jobs_policy, needs_data, small_world
from training.sources.judged import DATASETS, judged_jobs, occupation_splits
from training.sources.requirements.audit import MinimalPair, audit, leaks, minimal_pairs
from training.sources.requirements.drawing import requirement_lists
from training.sources.requirements.jobs import worlds

Pairs = list[MinimalPair]


@pytest.fixture(scope="module")
def small() -> tuple[Pairs, Pairs]:
    world = small_world()
    return minimal_pairs(requirement_lists(world, 250, seed=1)), minimal_pairs(requirement_lists(world, 250, seed=2))


@pytest.mark.slow
def test_no_shortcut_orders_minimal_pairs(small: tuple[Pairs, Pairs]) -> None:
    train, test = small
    assert len(test) > 500
    assert leaks(audit(train, test)) == []


def praised(pair: MinimalPair) -> MinimalPair:
    return replace(pair, better=pair.better + ". Great fit", worse=pair.worse + ". Weak match")


def echoed(pair: MinimalPair) -> MinimalPair:
    return replace(pair, better=pair.better + ". " + pair.member)


def longer(pair: MinimalPair) -> MinimalPair:
    return replace(pair, worse=pair.worse + " zzz" * 10)


def first(pair: MinimalPair) -> MinimalPair:
    return replace(pair, better_place=0, worse_place=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "shortcut"),
    [(praised, "candidate only"), (echoed, "bm25"), (echoed, "overlap"), (longer, "length"), (first, "position")],
)
def test_a_planted_leak_fails_the_audit(
    small: tuple[Pairs, Pairs], plant: Callable[[MinimalPair], MinimalPair], shortcut: str
) -> None:
    train, test = (list(map(plant, pairs)) for pairs in small)
    assert any(sentence.startswith(shortcut) for sentence in leaks(audit(train, test)))


def test_a_tie_counts_by_half_and_chance_depends_on_the_number_of_pairs() -> None:
    one = MinimalPair("skills", "lathe", "lathe a", "lathe b", 0, 1)
    found = audit([one], [one])
    assert found["overlap"]["all"].right == 0.5
    assert found["position"]["all"].right == 0.0
    assert leaks(found) == []  # a single pair proves nothing


@needs_data
@pytest.mark.slow
def test_no_shortcut_orders_minimal_pairs_of_the_real_vocabularies() -> None:
    splits = occupation_splits({one.group for one in judged_jobs(jobs_policy(), DATASETS / "judged_jobs")})
    found = worlds(DATA, jobs_policy(), splits)
    train = minimal_pairs(requirement_lists(found["train"], 1200, seed=11))
    for name in ("new occupations", "new forms", "new commodities", "all new"):
        test = minimal_pairs(requirement_lists(found[name], 400, seed=12))
        assert leaks(audit(train, test)) == [], name
