"""Terms of work for the set `requirements`: what a job says, what a member says, and the grade of `constraints`.

One `Kind` is one thing that both sides may speak about (nights, travel, a language). The grades follow the section
`constraints` of jobs.md: 4 met, 3 a trifle, 2 against a wish, 1 doubtful, 0 excluded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from training.sources.requirements import limit_forms as say
from training.sources.requirements.term_forms import ONE_SIDED as ONE_SIDED_FORMS
from training.sources.requirements.term_forms import TWO_SIDED, Forms


@dataclass(frozen=True)
class Stance:
    """What a member says about one kind, in several forms, and the grade that each value of a job gets."""

    forms: tuple[str, ...]
    grades: Mapping[str, int]


@dataclass(frozen=True)
class Kind:
    """One term of work: value -> what a job says, and what members say.

    `balanced` holds forms of the values that use the same words, for pairs that differ in nothing but their meaning.
    """

    name: str
    values: Mapping[str, tuple[str, ...]]
    stances: tuple[Stance, ...]
    clashes: frozenset[str] = frozenset()
    balanced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def twins(self) -> list[tuple[str, str, Stance]]:
        """(better value, worse value, stance), for values whose forms use the same words."""
        names = list(self.balanced)
        return [(b, w, s) for s in self.stances for b in names for w in names if s.grades[b] > s.grades[w]]


def _stances(table: Mapping[tuple[int, ...], tuple[str, ...]], values: tuple[str, ...]) -> tuple[Stance, ...]:
    return tuple(Stance(forms, dict(zip(values, grades, strict=True))) for grades, forms in table.items())


def _kind(source: Forms) -> Kind:
    return Kind(
        source.name,
        source.values,
        _stances(source.members, tuple(source.values)),
        frozenset(source.clashes.split()),
        source.balanced,
    )


FIXED = {source.name: _kind(source) for source in TWO_SIDED}
ONE_SIDED = tuple(_kind(source) for source in ONE_SIDED_FORMS)


def place(rng: random.Random) -> Kind:
    """A town, another of the same country, and one abroad: a member is bound to one, wishes for it, or may move."""
    country = rng.choice(list(say.CITIES))
    here, there = rng.sample(say.CITIES[country], 2)
    abroad = rng.choice([town for name, towns in say.CITIES.items() if name != country for town in towns])
    towns = {"here": here, "there": there, "abroad": abroad}
    stances = tuple(
        Stance(tuple(f.format(towns[town]) for f in forms), {v: on if (v == town) == meets else off for v in towns})
        for town, meets, on, off, forms in say.PLACE_MEMBERS
    )
    return Kind(
        "place",
        {value: tuple(f.format(town) for f in say.PLACE) for value, town in towns.items()},
        stances,
        frozenset({"mode", "days"}),
        {
            v: tuple(f.format(a=towns[v], b=towns[w]) for f in say.PLACE_BALANCED)
            for v, w in (("here", "there"), ("there", "here"))
        },
    )


def language(rng: random.Random) -> Kind:
    """Two languages at levels on both sides: as good or better 4, one level short 1, more 0."""
    one, two = rng.sample(say.LANGUAGES, 2)
    levels = say.LANGUAGE_LEVELS
    asked = {f"{name} {level}": (name, level) for name in (one, two) for level in levels[1:5]}
    stances = []
    for better, worse in ((one, two), (two, one)):
        for high, low in ((5, 0), (4, 1), (4, 0), (3, 1), (3, 0), (2, 0)):
            has = {better: high, worse: low}
            short = {value: levels.index(level) - has[name] for value, (name, level) in asked.items()}
            grades = {value: 4 if steps <= 0 else 1 if steps == 1 else 0 for value, steps in short.items()}
            forms = tuple(f.format(a=better, x=levels[high], b=worse, y=levels[low]) for f in say.LANGUAGE_MEMBERS)
            stances.append(Stance(forms, grades))
    middle = rng.choice(levels[1:4])
    balanced = {
        f"{a} {middle}": tuple(f.format(a=a, b=b, x=middle) for f in say.LANGUAGE_BALANCED)
        for a, b in ((one, two), (two, one))
    }
    values = {v: tuple(f.format(a=name, x=level) for f in say.LANGUAGE) for v, (name, level) in asked.items()}
    return Kind("language", values, tuple(stances), frozenset(), balanced)


def amount(source: say.Amounts) -> Kind:
    """A number on both sides: a job's amount against the most or the least that a member wants."""
    stances = []
    for limit in source.limits:
        spoken = (limit, say.spoken(limit))
        for forms, sign, beyond in (
            (source.at_most, 1, 0),
            (source.rather_less, 1, 2),
            (source.at_least, -1, 0),
            (source.rather_more, -1, 2),
        ):
            if forms:
                grades = {str(a): 4 if sign * a <= sign * limit else beyond for a in source.amounts}
                stances.append(Stance(tuple(f.format(n) for f in forms for n in spoken), grades))
    values = {str(a): tuple(f.format(n) for f in source.jobs for n in (a, say.spoken(a))) for a in source.amounts}
    return Kind(source.name, values, tuple(stances), frozenset(), values if source.at_least else {})


def start(rng: random.Random) -> Kind:
    """When the work begins: free by then 4; a month or two late 3, since a starting date is agreed on in a talk."""
    first = rng.randrange(2, 7)
    months = {str(m): tuple(f.format(say.MONTHS[m]) for f in say.START) for m in range(first, first + 5)}
    stances = tuple(
        Stance(
            tuple(f.format(say.MONTHS[free]) for f in say.START_MEMBERS),
            {m: 4 if int(m) >= free else 3 for m in months if int(m) >= free - 2},
        )
        for free in range(first, first + 5)
    )
    return Kind("start", months, stances)


def _one(text: str) -> str:
    return text.replace("one office days", "one office day").replace("one days", "one day")


def office_days(rng: random.Random) -> Kind:
    """Days in the office against a member's most: one more is a trifle 3, two are doubtful 1, more exclude 0."""
    numbers = range(1, 6)
    days = {str(n): tuple(_one(f.format(say.WORDS[n])) for f in say.OFFICE_DAYS) for n in numbers}
    stances = tuple(
        Stance(
            tuple(_one(f.format(say.WORDS[most])) for f in say.OFFICE_DAYS_MEMBERS),
            {d: {0: 4, 1: 3, 2: 1}.get(max(int(d) - most, 0), 0) for d in days},
        )
        for most in range(1, 5)
    )
    return Kind("days", days, stances, frozenset({"mode", "place"}))


def draw_kind(rng: random.Random) -> Kind:
    """One kind of term; those that compare numbers, levels and places are drawn more often."""
    made: list[tuple[int, Callable[[], Kind]]] = [
        (4, lambda: place(rng)),
        (3, lambda: language(rng)),
        (3, lambda: amount(rng.choice(say.AMOUNTS))),
        (1, lambda: start(rng)),
        (1, lambda: office_days(rng)),
        (9, lambda: rng.choice(list(FIXED.values()))),
        (4, lambda: rng.choice(ONE_SIDED)),
    ]
    return rng.choices([make for _, make in made], [weight for weight, _ in made])[0]()


def draw_twins(rng: random.Random) -> tuple[Kind, Stance, tuple[str, str]]:
    """A kind, a stance and two values, the better first. Neither value is the better one more often than the other."""
    while True:
        kind = draw_kind(rng)
        if len(kind.balanced) < 2:
            continue
        pair = rng.sample(list(kind.balanced), 2)
        fitting = [s for b, w, s in kind.twins() if (b, w) == tuple(pair)]
        back = [s for b, w, s in kind.twins() if (w, b) == tuple(pair)]
        if fitting and back:
            return kind, rng.choice(fitting), (pair[0], pair[1])


def draw_kinds(rng: random.Random, count: int, beside: list[Kind]) -> list[Kind]:
    """Kinds of other names than those in `beside`, which do not speak of the same thing."""
    found: list[Kind] = []
    for _ in range(50):
        if len(found) == count:
            break
        kind = draw_kind(rng)
        if all(
            kind.name != k.name and kind.name not in k.clashes and k.name not in kind.clashes for k in [*beside, *found]
        ):
            found.append(kind)
    return found
