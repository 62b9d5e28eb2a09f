"""Facts of members and jobs in the set `requirements`, and the grades that the tables of jobs.md give to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from training.sources.requirements.skill_forms import FIELDS
from training.sources.requirements.terms import Kind, Stance
from training.sources.requirements.vocabulary import Item, Occupation

DIMENSIONS = ("role", "skills", "seniority", "domain", "constraints")


class Undecided(Exception):
    """The policy's tables leave the grade of these facts open; the job is drawn again."""


@dataclass(frozen=True)
class Need:
    """One requirement of a job: any of `items` meets it; `comparable` accepts a near relative as well."""

    items: tuple[Item, ...]
    comparable: bool = False


@dataclass(frozen=True)
class Needs:
    """What a job needs, the main thing first, and what it names without needing it.

    `licence`: "" not mentioned, "needed" from the first day, "later" not needed at the start.
    """

    needs: tuple[Need, ...]
    plus: tuple[Item, ...] = ()
    unused: tuple[Item, ...] = ()
    licence: str = ""


@dataclass(frozen=True)
class Person:
    """The facts of a member.

    `ready`: shows a sign of readiness for the next level. `seeks`: the levels that the member asks for instead of the
    present one. `licence`: whether the licence of the occupation is held; None when nothing is said. `tasks`: what
    the text names instead of skills, in lists that do not ask about skills.
    """

    occupation: Occupation
    title: str
    level: int
    ready: bool
    shown: tuple[Item, ...]
    stated: tuple[Item, ...]
    lacks: tuple[Item, ...]
    stances: tuple[tuple[Kind, Stance], ...]
    industry: str
    seeks: tuple[int, ...] = ()
    licence: bool | None = None
    overstated: bool = False
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Post:
    """The facts of a job; `relation` is its occupation's to the member's: same, near or far."""

    occupation: Occupation
    relation: str
    title: str
    level: int
    needs: Needs
    terms: tuple[tuple[Kind, str], ...]
    asks: frozenset[str]
    industry: str = ""
    demands_industry: bool = False
    other_industry: str = ""
    beside: int | None = None
    overstated: bool = False
    balanced: frozenset[str] = frozenset()
    tasks: tuple[str, ...] = ()


def role_grade(person: Person, post: Post) -> int:
    """Same occupation 4; into management 3 and out of it 2, unless the member asks for it; near 2; unrelated 0."""
    if post.relation == "same" and not person.seeks and (person.level >= 5) != (post.level >= 5):
        return 3 if post.level > person.level else 2
    return {"same": 4, "near": 2, "far": 0}[post.relation]


def _met(person: Person, need: Need) -> str:
    shown, stated = {i.name for i in person.shown}, {i.name for i in person.stated}
    kin = {i.family for i in person.shown if i.family}
    if any(i.name in shown for i in need.items):
        return "full"
    if any(i.family in kin for i in need.items if i.family):
        return "full" if need.comparable else "half"
    return "half" if any(i.name in stated for i in need.items) else "no"


def skills_grade(person: Person, post: Post) -> int:
    """All shown 4; one weak 3; the main one without one or two others 2; others without the main one 1; none 0."""
    if post.needs.licence == "needed" and post.relation == "same":
        if person.licence is None:
            raise Undecided
        if not person.licence:
            return 0
    met = [_met(person, need) for need in post.needs.needs]
    missing, weak = met.count("no"), met.count("half")
    if met[0] == "no":
        return 1 if missing < len(met) else 0
    if missing:
        if met[0] == "half" or missing > 2:
            raise Undecided
        return 2
    if weak > 1:
        raise Undecided
    return 4 - weak


def seniority_grade(person: Person, post: Post, role: int) -> int:
    """By half steps: same 4; up to one step up 3 with a sign of readiness, else 2; half a step down 2; up to a step and
    a half 1; further 0. In a change of trades a step down counts one grade more.
    """
    if person.seeks:
        if post.level > 4:
            raise Undecided
        off = min((post.level - level for level in person.seeks), key=abs)
        return {0: 4, 1: 2, -1: 2, -2: 1}.get(off, 0)
    steps = post.level - person.level
    if steps == 0:
        return 4
    if steps in (1, 2):
        return 3 if person.ready else 2
    if steps > 0:
        return 1 if steps == 3 else 0
    down = {-1: 2, -2: 1, -3: 1}.get(steps, 0)
    return down + 1 if role <= 2 and post.relation != "same" else down


def neighbours(name: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a field is slow to learn, and the fields next to it, itself included."""
    return next((rules, names) for rules, _, names in FIELDS if name in names)


def domain_grade(person: Person, post: Post) -> int | None:
    """Same field 4; its neighbour 3; demanded and absent 0; a field with rules of its own 1; any other 2."""
    if not post.industry:
        return None
    if post.industry == person.industry:
        return 4
    rules, names = neighbours(post.industry)
    if person.industry in names:
        return 3
    return 0 if post.demands_industry else 1 if rules else 2


def constraints_grade(person: Person, post: Post) -> int | None:
    """The least grade of the terms that one side states and the other answers; None when no term meets a stance."""
    said = {kind.name: stance for kind, stance in person.stances}
    answers = [said[kind.name].grades.get(value) for kind, value in post.terms if kind.name in said]
    known = [grade for grade in answers if grade is not None]
    if not answers:
        return None
    if len(known) < len(answers):
        raise Undecided
    if min(known) == 0 or len(known) == len(person.stances) == len(post.terms):
        return min(known)
    raise Undecided


def grades(person: Person, post: Post) -> dict[str, int | None]:
    """The grades that the facts decide, without the dimensions that the list does not ask about."""
    role = role_grade(person, post)
    graders: dict[str, Callable[[], int | None]] = {
        "role": lambda: role,
        "skills": lambda: skills_grade(person, post),
        "seniority": lambda: seniority_grade(person, post, role),
        "domain": lambda: domain_grade(person, post),
        "constraints": lambda: constraints_grade(person, post),
    }
    return {name: grader() for name, grader in graders.items() if name in post.asks}
