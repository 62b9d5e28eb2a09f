"""A synthetic job market whose truth is known: trades with skills, members who know some, jobs that want some.

Relevance is how much of what a job wants the member has, within the trade; applying also needs a place the
member would work in. Nothing here is real; it exists so that the whole cookbook can be run and tested on any
machine in minutes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from models.text import Fields
from training.data import FieldList, Split

TRADES = {
    "baker": "dough ovens pastry hygiene recipes kneading decorating".split(),
    "nurse": "triage wards medication charts patients hygiene vaccines".split(),
    "welder": "torches steel joints blueprints grinding safety cranes".split(),
    "programmer": "python databases testing linux networks design reviews".split(),
    "gardener": "pruning soil irrigation seeds mowing hedges greenhouses".split(),
    "accountant": "ledgers taxes audits payroll invoices budgets databases".split(),
    "driver": "routes lorries logistics safety maps loading maintenance".split(),
    "teacher": "lessons grading pupils curricula reading exams reviews".split(),
}
PLACES = ("harbour", "hills", "old town", "airport")
LEVELS = ("junior", "senior")


@dataclass(frozen=True)
class Person:
    """A member's latent truth."""

    trade: str
    level: str
    skills: frozenset[str]
    place: str


@dataclass(frozen=True)
class Vacancy:
    """A job's latent truth."""

    trade: str
    level: str
    wanted: frozenset[str]
    place: str


def relevance(person: Person, vacancy: Vacancy) -> float:
    """Share of the wanted skills that the person has: whole in the right trade, half in another;
    less at another level.
    """
    share = len(person.skills & vacancy.wanted) / len(vacancy.wanted)
    fit = 0.4 + 0.6 * share if person.trade == vacancy.trade else 0.3 * share
    return fit if person.level == vacancy.level else 0.7 * fit


def market_lists(*, lists: dict[Split, int], candidates: int, seed: int) -> Iterator[FieldList]:
    """Lists with both heads labelled; `apply` is drawn once from its true chance, as a log would show it."""
    random_ = random.Random(seed)
    for split, count in lists.items():
        for index in range(count):
            person = Person(*_latent(random_))
            vacancies = [
                _vacancy(random_, person.trade if place < candidates // 3 else None) for place in range(candidates)
            ]
            fits = [relevance(person, vacancy) for vacancy in vacancies]
            nearby = [1.0 if vacancy.place == person.place else 0.25 for vacancy in vacancies]
            applied = [float(random_.random() < fit * near) for fit, near in zip(fits, nearby, strict=True)]
            labels = {"relevance": fits, "apply": applied}
            fields = [_vacancy_fields(vacancy) for vacancy in vacancies]
            yield FieldList(f"market/{split}/{index}", "market", split, _person_fields(person), fields, labels)


def _latent(random_: random.Random, trade: str | None = None) -> tuple[str, str, frozenset[str], str]:
    trade = trade or random_.choice(sorted(TRADES))
    skills = frozenset(random_.sample(TRADES[trade], random_.randint(2, 5)))
    return trade, random_.choice(LEVELS), skills, random_.choice(PLACES)


def _vacancy(random_: random.Random, trade: str | None) -> Vacancy:
    return Vacancy(*_latent(random_, trade))


def _person_fields(person: Person) -> Fields:
    return {
        "headline": f"{person.level} {person.trade}",
        "skills": sorted(person.skills),
        "experience": f"worked near the {person.place}",
    }


def _vacancy_fields(vacancy: Vacancy) -> Fields:
    return {
        "title": f"{vacancy.level} {vacancy.trade}",
        "skills": sorted(vacancy.wanted),
        "description": f"a place in the {vacancy.place}",
    }
