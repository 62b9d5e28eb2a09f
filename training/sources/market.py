"""A synthetic job market with known truth: trades with skills, members who have some, jobs that need some.

Relevance is the share of the wanted skills that the member has, within the trade. Applications also depend on the
place. Nothing here is real: it lets the whole pipeline run and be tested on any machine in minutes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.template import Fields
from training.data.lists import FieldList, Split
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades
from training.policy.parser import read_policy
from training.sources.judged import teaching_list

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
class Profile:
    """The latent truth of a member, or of a job, which wants the skills."""

    trade: str
    level: str
    skills: frozenset[str]
    place: str


def relevance(person: Profile, vacancy: Profile) -> float:
    """Share of the wanted skills that the person has, less in another trade and at another level."""
    share = len(person.skills & vacancy.skills) / len(vacancy.skills)
    fit = 0.4 + 0.6 * share if person.trade == vacancy.trade else 0.3 * share
    return fit if person.level == vacancy.level else 0.7 * fit


@dataclass(frozen=True)
class _Shown:
    """A person, and vacancies of which a third are of their trade."""

    name: str
    split: Split
    person: Profile
    vacancies: list[Profile]


def _shown(lists: dict[Split, int], candidates: int, seed: int) -> Iterator[_Shown]:
    random_ = random.Random(seed)
    for split, count in lists.items():
        for index in range(count):
            person = _profile(random_)
            trades = [person.trade if place < candidates // 3 else None for place in range(candidates)]
            yield _Shown(f"{split}/{index}", split, person, [_profile(random_, trade) for trade in trades])


def market_lists(*, lists: dict[Split, int], candidates: int, seed: int) -> Iterator[FieldList]:
    """Lists labelled with `relevance`, and with `nearby`, which is not graded: how well the place suits the member."""
    for one in _shown(lists, candidates, seed):
        fits = [relevance(one.person, vacancy) for vacancy in one.vacancies]
        nearby = [1.0 if vacancy.place == one.person.place else 0.25 for vacancy in one.vacancies]
        labels = {"relevance": fits, "nearby": nearby}
        fields = [_vacancy_fields(vacancy) for vacancy in one.vacancies]
        yield FieldList(f"market/{one.name}", "market", one.split, _person_fields(one.person), fields, labels)


def market_judged_lists(
    document: Path, *, lists: dict[Split, int], candidates: int, seed: int, source: str = "judged"
) -> Iterator[FieldList]:
    """Lists with the true grades by the policy in `document`. Seniority is not graded where the trades differ."""
    policy = read_policy(document)
    for one in _shown(lists, candidates, seed):
        graded = [(_vacancy_fields(v), _answers(one.person, v)) for v in one.vacancies]
        yield teaching_list(policy, f"{source}/{one.name}", source, one.split, _person_fields(one.person), graded)


def _answers(person: Profile, vacancy: Profile) -> dict[str, int | None]:
    grades = true_grades(person, vacancy)
    return {**grades, "seniority": grades["seniority"] if person.trade == vacancy.trade else None}


def market_attractiveness(each: FieldList) -> Mapping[str, Sequence[float]]:
    """Members click what fits, and apply if they clicked and the place suits them too."""
    click = [0.05 + 0.6 * (fit or 0.0) for fit in each.labels["relevance"]]
    apply = [0.8 * chance * (near or 0.0) for chance, near in zip(click, each.labels["nearby"], strict=True)]
    return {"click": click, "apply": apply, "dismiss": [0.2 * (1 - chance) for chance in click]}


def _profile(random_: random.Random, trade: str | None = None) -> Profile:
    trade = trade or random_.choice(sorted(TRADES))
    skills = frozenset(random_.sample(TRADES[trade], random_.randint(2, 5)))
    return Profile(trade, random_.choice(LEVELS), skills, random_.choice(PLACES))


def _person_fields(person: Profile) -> Fields:
    return {
        "headline": f"{person.level} {person.trade}",
        "skills": sorted(person.skills),
        "experience": f"worked near the {person.place}",
    }


def _vacancy_fields(vacancy: Profile) -> Fields:
    return {
        "title": f"{vacancy.level} {vacancy.trade}",
        "skills": sorted(vacancy.skills),
        "description": f"a place in the {vacancy.place}",
    }


def market_grades(*, members: int, candidates: int, seed: int) -> HumanGrades:
    """Grades of two careful raters: the truth, each off by one grade now and then.

    If they differ, an adjudicator gives the true grade.
    """
    random_ = random.Random(seed)
    pairs: list[GradedPair] = []
    grades: list[HumanGrade] = []
    for index in range(members):
        person = _profile(random_)
        for place in range(candidates):
            vacancy = _profile(random_, person.trade if place < candidates // 2 else None)
            ids = (f"member-{index}", f"job-{index}-{place}")
            pairs.append(GradedPair(*ids, _person_fields(person), _vacancy_fields(vacancy)))
            for dimension, truth in true_grades(person, vacancy).items():
                said = [_noisy(truth, random_), _noisy(truth, random_)]
                raters = [("first", said[0]), ("second", said[1])]
                raters += [("adjudicator", truth)] if said[0] != said[1] else []
                grades += [HumanGrade(*ids, dimension, rater, grade) for rater, grade in raters]
    return HumanGrades(
        origin="market",
        pairs=pairs,
        grades=grades,
        authority=("adjudicator", "first", "second"),
        adjudicator="adjudicator",
        about="Generated raters who know the truth of the synthetic market; each is off by one in one case of eight.",
    )


def true_grades(person: Profile, vacancy: Profile) -> dict[str, int]:
    """The grades by `policy/documents/demo.md` of a pair's latent truth."""
    shared = len(person.skills & vacancy.skills)
    role = 4 if person.trade == vacancy.trade else int(shared > 0)
    seniority = 4 if person.level == vacancy.level else 3 if vacancy.level == "senior" else 1
    return {"role": role, "skills": round(4 * shared / len(vacancy.skills)), "seniority": seniority}


def _noisy(truth: int, random_: random.Random) -> int:
    wrong = random_.random() < 1 / 8
    return min(max(truth + random_.choice((-1, 1)) * wrong, 0), 4)
