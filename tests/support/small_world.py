"""A small world of made-up words for the set `requirements`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from training.policy.parser import read_policy
from training.policy.policy import Policy
from training.sources.requirements.jobs import World
from training.sources.requirements.vocabulary import Item, Occupation, Vocabulary

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real vocabularies are not in {DATA}")
GROUPS = ("13", "15", "17", "25", "29", "35", "43", "47", "51", "53")


def word(rng: random.Random) -> str:
    return "".join(rng.choice(pair) for pair in ("bdfgklmnprst", "aeiou") * 4)


def small_world(forms: str = "seen") -> World:
    """Twenty occupations of made-up words; every third item has a relative."""
    rng = random.Random(5)
    occupations: dict[str, Occupation] = {}
    for group in GROUPS:
        for number in ("2011.00", "2021.00"):
            code = f"{group}-{number}"
            items = []
            for place_ in range(16):
                name, family = word(rng), word(rng) if place_ % 3 == 0 else ""
                items.append(Item(name, (name,), family, "tool"))
                if family:
                    relative = word(rng)
                    items.append(Item(relative, (relative,), family, "tool"))
            titles = tuple(f"{word(rng).title()} {kind}" for kind in ("Keeper", "Worker", "Agent", "Expert"))
            near = (f"{group}-2021.00" if number == "2011.00" else f"{group}-2011.00",)
            tasks = tuple(f"inspect {word(rng)} for {word(rng)}" for _ in range(8))
            occupations[code] = Occupation(code, titles[0], titles, tuple(items), near, 4, frozenset(near), None, tasks)
    families: dict[str, list[Item]] = {}
    for occupation in occupations.values():
        for item in occupation.items:
            if item.family:
                families.setdefault(item.family, []).append(item)
    vocabulary = Vocabulary(occupations, {name: tuple(found) for name, found in families.items()})
    return World(vocabulary, jobs_policy(), tuple(occupations), "new" if forms == "new" else "seen")


def jobs_policy() -> Policy:
    return read_policy(ROOT / "training/policy/documents/jobs.md")
