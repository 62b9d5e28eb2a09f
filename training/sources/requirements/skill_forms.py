# ruff: noqa: E501 - one row of a table a line
# fmt: off
"""How members and jobs speak of skills and of the field of work. Knows no grades."""

from __future__ import annotations

from collections.abc import Sequence

from training.sources.requirements.vocabulary import Item
from training.sources.requirements.vocabulary_rules import gerund
from training.sources.requirements.voice import Voice

SHOWN = (
    "every day: {}", "my work: {}", "what I do: {}", "the job in one line: {}", "I spend my days {}", "current job: {}", "in practice: {}", "my day is {}", "hands-on: {}", "done in this job: {}",
    "paid to do: {}", "most weeks it is {}",
)
TASK = ("{}", "you {}", "we need you to {}", "it is your job to {}", "your part: {}")
TASKS_DONE = ("I {}", "I {}", "most days I {}", "in my job I {}", "what I do: I {}")
MEMBER_LACKS = ("no {} so far", "never did {}", "{}: not yet", "{} I have only watched", "without {}", "have not worked with {}")
MAIN = ("the work is mainly {}", "most of the day: {}", "main task: {}", "nine hours out of ten it is {}", "it is all about {}", "above all: {}", "first of all {}", "at the heart of it: {}", "the core of the job is {}")
NEED = ("also required: {}", "must have: {}", "you need {}", "we insist on {}", "needed: {}", "{} required", "a must: {}", "{}: no way around it", "we expect {}", "not without {}", "besides that {} (essential)")
ONE_OF = ("one of {}", "either {}", "{}, one of them is enough", "{}, whichever you have", "{} (any of these)")
ALL_OF = ("all of {}", "both {}", "{}, each of them", "{}, the one and the other", "{} (all of these)")
COMPARABLE = ("{} or a comparable system", "{} or similar", "{} or an equivalent", "{} or something like it")
PLUS = ("{} a plus", "nice to have: {}", "{} would be welcome", "we'd smile at {}", "preferred, not required: {}", "a bonus: {}", "an advantage, no more: {}", "if you bring {}, fine", "good, but no condition: {}")
UNUSED = ("not used here: {}", "no {} needed", "we gave up {}", "{} is history here", "{}: another team does it", "you can forget {}")
LICENCE_HELD = ("{} held", "{}, current", "{} since my first year", "{} in my pocket")
LICENCE_LACKS = ("no {} yet", "{} not yet obtained", "my {} has lapsed", "without {}")
LICENCE_NEEDED = ("{} required by law", "{} before the first day", "no start without {}", "{} is a legal condition")
LICENCE_LATER = ("{} not needed at the start, we pay for it in your first year", "you need no {}; others sign", "without {}: it comes later, at our cost")

# within a row the fields are next to each other; `rules` marks those that are slow to learn, `plant` those with workshops
FIELDS: tuple[tuple[bool, bool, tuple[str, ...]], ...] = (
    (True, False, ("a hospital", "a nursing home", "a dialysis centre")), (True, False, ("a bank", "a savings bank", "an investment bank")), (True, True, ("a dairy", "a cheese maker", "an ice cream factory")),
    (True, True, ("a railway", "a tram operator", "an underground railway")), (True, True, ("an airline", "an aircraft maker")), (True, True, ("a nuclear power station", "a reactor decommissioner")),
    (True, True, ("a drug maker", "a vaccine plant")), (True, True, ("an oil refinery", "a petrochemical works")), (True, True, ("a shipyard", "a ship repairer")), (True, True, ("a mine", "a quarry")),
    (False, False, ("a book publisher", "a magazine publisher")), (False, False, ("a fashion retailer", "a shoe chain")), (False, False, ("a hotel group", "a holiday park")),
    (False, True, ("a furniture maker", "a kitchen maker")), (False, False, ("a university", "a college")), (False, False, ("a games studio", "an app maker")),
    (False, False, ("a football club", "a basketball club")), (False, False, ("a museum", "an art gallery")), (False, False, ("a city council", "a county office")), (False, True, ("a toy maker", "a doll factory")),
)
MEMBER_FIELD = ("at {}", "employer: {}", "all of it at {}", "{} pays me", "so far always at {}")
JOB_FIELD = ("we are {}", "{} is hiring", "for {}", "you join {}", "place of work: {}")
JOB_FIELD_BESIDE = ("for {a}, next door to {b}", "we are {a}; our neighbour is {b}", "{a} is hiring (not {b})", "at {a}, once the site of {b}")
JOB_FIELD_DEMAND = ("three years in {} are required", "only with experience in {}", "you must know {} from the inside", "who has never worked at {} need not apply", "experience at {} is a condition")

MEMBER_NOISE = ("reliable, I'd say", "colleagues call me calm", "I like to see things finished", "open to talk", "looking around, no hurry", "references on request", "careful with details", "I enjoy the trade", "always busy")
JOB_NOISE = ("friendly crew, good coffee", "we answer within a week", "family business", "canteen on the premises", "pay by the usual scale", "small team, short ways", "tools are new", "we have been around since 1962", "apply with two lines")
PREFERENCE_NOISE = ("listening", "no hurry", "open otherwise", "curious", "a good team matters", "something stable")
TERM_NOISE = ("uniform supplied", "canteen", "pay by scale", "thirty days of leave", "pension plan", "company bike")


def doing(voice: Voice, item: Item, *, other: bool = False) -> str:
    """The item as something that is done: 'operating a lathe', 'working with Revit', 'applying food law'."""
    form = voice.rng.choice(item.forms) if other else item.name
    if item.kind == "task":
        return gerund(form)
    return f"{voice.pick(('working with', 'using') if item.kind == 'tool' else ('applying', 'putting to use'))} {form}"


def noun(item: Item, form: str = "") -> str:
    """The item as a requirement: 'operating a lathe', 'Revit', 'food law'."""
    form = form or item.name
    return gerund(form) if item.kind == "task" else form


def series(parts: Sequence[str], last: str) -> str:
    """'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def sentence(text: str) -> str:
    """A part of a text as a sentence without its full stop."""
    text = text.strip().rstrip(".")
    return text[:1].upper() + text[1:]


def join(voice: Voice, parts: Sequence[str]) -> str:
    """Parts as prose, or in the telegraphic style of profiles and postings."""
    glue = voice.rng.choice((". ", ". ", ". ", "; ", " - "))
    return glue.join(sentence(p) if glue == ". " else p.strip().rstrip(".") for p in parts if p)
