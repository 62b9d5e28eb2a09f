"""Draws the member of a list and its jobs as facts: a base job, the base job with one thing changed, other jobs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from training.data.lists import SPLITS, Split
from training.policy.policy import Policy
from training.sources.requirements.facts import DIMENSIONS, Need, Needs, Person, Post, Undecided, neighbours
from training.sources.requirements.skill_forms import FIELDS
from training.sources.requirements.terms import Kind, draw_kinds, draw_twins
from training.sources.requirements.vocabulary import Item, Occupation, Vocabulary, read_vocabulary
from training.sources.requirements.voice import Which

FOCUS = {"seniority": 30, "constraints": 32, "skills": 22, "all": 16}
OFFICE, PLANT = ("13", "15", "33", "37", "41", "43"), ("17", "49", "51")  # major groups found in many fields
TESTS = ("new occupations", "new forms", "new commodities", "all new")
LEVELS_UP_TO = {1: 4, 2: 4, 3: 4, 4: 6, 5: 6}  # job zone -> the highest level that is drawn


@dataclass(frozen=True)
class World:
    """What lists are drawn from: occupations, forms, and whether items that are kept for tests may occur."""

    vocabulary: Vocabulary
    policy: Policy
    codes: tuple[str, ...]
    forms: Which = "seen"
    kept_items: bool = False


def worlds(data: Path, policy: Policy, splits: Mapping[str, Split]) -> dict[str, World]:
    """By name: "train", "valid", and the tests. `data` holds the folders of O*NET, ESCO and their crosswalk; `splits`
    says which occupations are held out (`judged.occupation_splits`), and those that it does not name train.
    """
    vocabulary = read_vocabulary(data)
    codes: dict[Split, tuple[str, ...]] = {
        split: tuple(code for code in vocabulary.occupations if splits.get(code, "train") == split) for split in SPLITS
    }
    train, valid, test = codes["train"], codes["valid"], codes["test"]
    return {
        "train": World(vocabulary, policy, train),
        "valid": World(vocabulary, policy, valid),
        "new occupations": World(vocabulary, policy, test),
        "new forms": World(vocabulary, policy, train, "new"),
        "new commodities": World(vocabulary, policy, train, kept_items=True),
        "all new": World(vocabulary, policy, test, "new", kept_items=True),
    }


def apart(rng: random.Random, pool: list[Item], count: int, beside: list[Item]) -> list[Item]:
    """Items that share no family and no word with each other or with `beside`, so that none implies another."""
    found: list[Item] = []
    for item in rng.sample(pool, len(pool)):
        others = [*found, *beside]
        if all(item.stems.isdisjoint(o.stems) and not (item.family and item.family == o.family) for o in others):
            found.append(item)
        if len(found) == count:
            return found
    raise Undecided


class Draws:
    """The member of one list, and jobs for it, drawn from one seed."""

    def __init__(self, world: World, seed: str) -> None:
        self.world, self.seed = world, seed
        self.rng = rng = random.Random(seed)
        self.focus = rng.choices(list(FOCUS), list(FOCUS.values()))[0]
        self.occupation = world.vocabulary.occupations[rng.choice(world.codes)]
        self.top = LEVELS_UP_TO[self.occupation.zone] if rng.random() < 0.4 else 4
        pool = self.items(self.occupation)
        drawn = apart(rng, pool, rng.choice((4, 5, 6, 6, 7)), [])
        cut = min(rng.choice((2, 3, 3, 4)), len(drawn) - 2)
        self.has, self.missing = drawn[:cut], drawn[cut:]
        self.asks_field = self.occupation.code[:2] in (*OFFICE, *PLANT) and (self.focus == "all" or rng.random() < 0.15)
        many_tasks = self.focus in ("seniority", "constraints") and len(self.occupation.tasks) >= 6
        self.by_tasks = many_tasks and rng.random() < 0.35  # both sides name tasks; the list does not ask about skills
        unasked = {"domain"} - {"domain" if self.asks_field else ""} | {"skills" if self.by_tasks else ""}
        self.asks = frozenset(DIMENSIONS) - unasked
        self.term_twins: tuple[Kind, tuple[str, str]] | None = None
        self.person = self.draw_person()

    def items(self, occupation: Occupation) -> list[Item]:
        """The items of an occupation that this world may speak of; those kept for tests first, where it may."""
        kept = [i for i in occupation.items if i.kept]
        if self.world.kept_items and len(kept) >= 7:
            return kept
        return [i for i in occupation.items if self.world.kept_items or not i.kept]

    # ---- the member
    def draw_person(self) -> Person:
        rng = self.rng
        level, stances = rng.randint(0, self.top), []
        if self.focus in ("constraints", "all"):
            kind, stance, values = draw_twins(rng)
            self.term_twins = kind, values
            stances.append((kind, stance))
        count = rng.choice((0, 0, 1, 1, 2)) if stances else rng.choice((0, 0, 0, 1, 2))
        for kind in draw_kinds(rng, count, [k for k, _ in stances]):
            stances.append((kind, rng.choice(kind.stances)))
        weak = [self.has[-1]] if len(self.has) > 2 and rng.random() < 0.25 else []
        overstated = level == 2 and rng.random() < 0.12
        seeks = (2, 3) if level >= 4 and self.focus != "all" and rng.random() < 0.2 else ()
        return Person(
            occupation=self.occupation,
            title=rng.choice(self.occupation.titles),
            level=level,
            ready=level < 6 and not seeks and not overstated and rng.random() < 0.5,
            shown=() if self.by_tasks else tuple(i for i in self.has if i not in weak),
            stated=() if self.by_tasks else tuple(weak),
            lacks=tuple(self.missing[:1]) if not self.by_tasks and rng.random() < 0.2 else (),
            stances=tuple(stances),
            industry=rng.choice(self.fields()) if self.asks_field else "",
            seeks=seeks,
            licence=rng.random() < 0.5 if self.occupation.licence and rng.random() < 0.6 else None,
            overstated=overstated,
            tasks=self.tasks(self.occupation),
        )

    def tasks(self, occupation: Occupation) -> tuple[str, ...]:
        """Two or three tasks, in lists whose texts name tasks."""
        count = min(self.rng.choice((2, 2, 3)), len(occupation.tasks))
        return tuple(self.rng.sample(occupation.tasks, count)) if self.by_tasks else ()

    def fields(self) -> list[str]:
        """Fields in which the occupation may work; plants for those that work in them."""
        plant = self.occupation.code[:2] in PLANT
        return [name for _, is_plant, names in FIELDS if is_plant or not plant for name in names]

    # ---- jobs
    def title(self) -> str:
        """The member's own title in most lists that do not ask about the role; else any title of the occupation."""
        same = self.focus != "all" and self.rng.random() < 0.5
        return self.person.title if same else self.rng.choice(self.occupation.titles)

    def base(self) -> Post:
        """A job that suits the member, or nearly."""
        rng, person = self.rng, self.person
        plus = tuple(rng.sample(self.missing, rng.choice((1, 1, 2))))
        licence = rng.choice(("", "needed", "later")) if person.licence else "later" if person.licence is False else ""
        level = rng.choice(person.seeks) if person.seeks else person.level
        if self.focus != "seniority" and rng.random() < 0.25 and not person.seeks:
            level = min(level + 1, self.top)
        needs = Needs(tuple(Need((i,)) for i in self.has), plus, (), licence)
        terms = self.terms(met=True)
        return Post(
            self.occupation, "same", self.title(), level, needs, terms, self.asks,
            industry=person.industry, tasks=self.tasks(self.occupation),
        )  # fmt: skip

    def level(self) -> int:
        """A level; each grade is about as likely as another."""
        rng, own = self.rng, self.person.level
        steps = rng.choice(((0,), (1, 2), (1, 2), (-1,), (-2, -3, 3), (-4, 4, 5)))
        levels = [own + step for step in steps if 0 <= own + step <= self.top]
        return rng.choice(levels) if levels else rng.randint(0, self.top)

    def terms(self, *, met: bool) -> tuple[tuple[Kind, str], ...]:
        """Values that meet all stances, or all but one; or terms that the member says nothing about."""
        rng, stances = self.rng, self.person.stances
        if not met and (not stances or rng.random() < 0.2):
            beside = [k for k, _ in stances]
            return tuple((k, rng.choice(list(k.values))) for k in draw_kinds(rng, rng.choice((0, 1, 2)), beside))
        broken = None if met or not stances else rng.randrange(len(stances))
        drawn = []
        for place, (kind, stance) in enumerate(stances):
            below = sorted(set(stance.grades.values()) - {4})
            grade = rng.choice(below) if place == broken and below else 4
            values = [v for v, g in stance.grades.items() if g == grade] or list(stance.grades)
            drawn.append((kind, rng.choice(values)))
        return tuple(drawn)

    def relatives(self, item: Item) -> list[Item]:
        """Items of the same family whose names do not give it away."""
        family = self.world.vocabulary.families.get(item.family, ())
        return [i for i in family if i.name != item.name and i.stems.isdisjoint(item.stems)]

    def need(self, item: Item, free: list[Item]) -> Need:
        """A need that `item` meets alone, or beside one of `free`, which is taken from it; or a relative of it."""
        rng, roll = self.rng, self.rng.random()
        if roll < 0.3 and free:
            return Need(tuple(rng.sample([item, free.pop()], 2)))
        relatives = self.relatives(item) if roll < 0.5 and item in self.person.shown else []
        return Need((rng.choice(relatives),), comparable=roll < 0.4) if relatives else Need((item,))

    def needs(self) -> Needs:
        """Needs over the list's own items, in any of the ways in which a job can name them."""
        rng = self.rng
        pool = rng.sample([*self.has, *self.missing], len(self.has) + len(self.missing))
        cut = rng.choice((2, 3, 3, 4))
        chosen, rest = pool[:cut], pool[cut:]
        free = [i for i in rest if i in self.missing]
        needs = tuple(self.need(i, free) if i in self.has else Need((i,)) for i in chosen)
        rest = [i for i in rest if i in free or i in self.has]
        plus = [i for i in rest if rng.random() < 0.6][:2]
        licence = rng.choice(("", "needed", "later")) if self.person.licence is not None else ""
        return Needs(needs, tuple(plus), tuple(i for i in rest if i not in plus)[:1], licence)

    def field(self, post: Post) -> Post:
        """Another field, in every relation to the member's own."""
        if not self.asks_field or self.rng.random() < 0.15:
            return replace(post, industry="", demands_industry=False)
        mine, roll = self.person.industry, self.rng.random()
        near = [name for name in neighbours(mine)[1] if name != mine]
        name = mine if roll < 0.3 else self.rng.choice(near) if roll < 0.5 else self.rng.choice(self.fields())
        return replace(post, industry=name, demands_industry=self.rng.random() < 0.35)

    def changed(self, base: Post, what: str) -> Post:
        """The base job with one dimension changed."""
        if what == "seniority":
            if self.rng.random() < 0.08 and not self.person.seeks:
                return replace(base, level=2, overstated=True)
            return replace(base, level=self.level())
        if what == "constraints":
            return replace(base, terms=self.terms(met=self.rng.random() < 0.25))
        if what == "domain":
            return self.field(base)
        if self.rng.random() < 0.4:
            free = list(base.needs.plus)
            needs = tuple(self.need(i, free) for i in self.has)
            return replace(base, needs=replace(base.needs, needs=needs, plus=tuple(free)))
        return replace(base, needs=self.needs())

    def other(self, relation: str) -> Post:
        """Another job of the occupation, one of a near occupation, or one that has nothing to do with it."""
        rng, occupation = self.rng, self.occupation
        if relation == "near":
            near = [c for c in occupation.near if c in self.world.codes]
            if not near:
                raise Undecided
            occupation = self.world.vocabulary.occupations[rng.choice(near)]
        elif relation == "far":
            code = rng.choice(self.world.codes)
            if code[:2] == occupation.code[:2] or code in occupation.known:
                raise Undecided
            occupation = self.world.vocabulary.occupations[code]
        title, needs = self.title(), self.needs()
        if relation != "same":
            mine = [*self.has, *self.missing]
            drawn = apart(rng, self.items(occupation), rng.choice((2, 3)), mine)
            plus = (rng.choice(mine),) if rng.random() < 0.4 else ()
            title, needs = rng.choice(occupation.titles), Needs(tuple(Need((i,)) for i in drawn), plus)
        terms = self.terms(met=rng.random() < 0.35)
        beside = rng.randint(0, self.top) if rng.random() < 0.25 else None
        post = Post(occupation, relation, title, self.level(), needs, terms, self.asks, beside=beside)
        if self.by_tasks and not occupation.tasks:
            raise Undecided
        return self.field(replace(post, tasks=self.tasks(occupation)))
