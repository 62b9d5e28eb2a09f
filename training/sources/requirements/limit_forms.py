# ruff: noqa: E501 - one row of a table a line
# fmt: off
"""What jobs and members say about towns, languages and numbers: terms that are compared with each other.

In each tuple of four or more forms every fourth is kept for tests (`voice.Voice`).
"""

from __future__ import annotations

from dataclasses import dataclass

WORDS = "no one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
TENS = {
    15: "fifteen", 20: "twenty", 25: "twenty-five", 30: "thirty", 35: "thirty-five", 40: "forty", 50: "fifty",
    60: "sixty", 70: "seventy", 80: "eighty",
}
MONTHS = "January February March April May June July August September October November December".split()


def spoken(number: int) -> str:
    """A number in words."""
    return WORDS[number] if number < len(WORDS) else TENS[number]


@dataclass(frozen=True)
class Amounts:
    """A number of a job against a member's limit; `{}` is the number."""

    name: str
    amounts: tuple[int, ...]
    limits: tuple[int, ...]
    jobs: tuple[str, ...]
    at_most: tuple[str, ...]
    rather_less: tuple[str, ...]
    at_least: tuple[str, ...] = ()
    rather_more: tuple[str, ...] = ()


CITIES = {
    "UK": ("Leeds", "Bristol", "Glasgow", "Manchester", "Cardiff", "Norwich", "London", "Sheffield"),
    "Germany": ("Munich", "Berlin", "Hamburg", "Leipzig", "Cologne", "Stuttgart"),
    "France": ("Lyon", "Paris", "Lille", "Nantes", "Toulouse", "Rennes"),
    "the US": ("Boston", "Austin", "Chicago", "Denver", "Seattle", "Milwaukee", "Atlanta"),
    "Canada": ("Toronto", "Vancouver", "Halifax", "Calgary", "Montreal"),
    "Ireland": ("Dublin", "Cork", "Galway"),
    "Spain": ("Madrid", "Valencia", "Bilbao"),
}
PLACE = ("on site in {}", "our workplace is in {}", "{}, in person", "{} site, daily", "{}", "workshop in {}")
PLACE_BALANCED = (
    "on site in {a}; head office in {b}", "{a} (our other branch is in {b})", "the job is in {a}, not in {b}", "daily in {a}; the {b} office is full",
)
PLACE_MEMBERS: tuple[tuple[str, bool, int, int, tuple[str, ...]], ...] = (
    # whose town, whether being there meets it, grade when met, grade when not, forms
    ("here", True, 4, 0, ("{} only", "I cannot leave {}", "staying in {}, not negotiable", "my life is in {}, so nothing else", "cannot relocate from {}", "only jobs in {}", "must be in {}", "bound to {}, no relocation")),
    ("here", True, 4, 2, ("ideally in {}", "{} preferred", "I'd like to stay in {}, but could move", "{} if it can be had", "{} would be nice", "rather {} than elsewhere")),
    ("here", False, 4, 0, ("anywhere but {}", "I must get away from {}, otherwise open", "not in {} any more, other towns are fine")),
    ("here", False, 4, 2, ("I'd rather leave {}, other towns welcome", "if possible not in {}")),
    ("there", True, 4, 0, ("moving to {} for good, nothing elsewhere", "{} only", "from summer on I live in {}, only jobs there")),
    ("there", True, 4, 2, ("would like to move to {}", "ideally {}")),
    ("here", True, 4, 4, ("based in {}, will move anywhere", "{} now; ready to relocate, abroad too")),
)
LANGUAGE_LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2")
LANGUAGES = ("German", "French", "Spanish", "Polish", "Italian", "Dutch", "Portuguese", "Turkish", "Arabic", "Mandarin", "Japanese", "Swedish")
LANGUAGE = ("{a} at {x}", "{a} {x} required", "you need {a}, {x} or better", "{a} {x} for calls", "without {a} at {x} it won't work")
LANGUAGE_BALANCED = ("{a} {x}, {b} not needed", "{a} at {x} (no one speaks {b} here)", "calls are in {a}, {x}; never in {b}", "{a} {x} instead of {b}")
LANGUAGE_MEMBERS = ("{a} {x}, {b} {y}", "languages: {a} {x}, {b} {y}", "{a} at {x}, {b} only at {y}", "I speak {a} ({x}) and some {b} ({y})", "{b} {y}, {a} {x}")
START = ("start in {}", "from {}", "begins in {}", "first day in {}", "we need you in {}")
START_MEMBERS = ("free from {}", "available from {} on", "not before {}", "my notice runs out before {}", "could begin in {}")
OFFICE_DAYS = ("{} office days a week", "{} days a week on site", "in the office {} days out of five", "{} days here, the others at home")
OFFICE_DAYS_MEMBERS = ("at most {} office days a week", "up to {} days on site, not more", "office: {} days a week and no more", "I can come in {} days a week at most")
AMOUNTS = (
    Amounts(
        "travel", (10, 20, 40, 60, 80), (15, 30, 50, 70),
        ("{} % travel", "about {} per cent of the time on the road", "travel {} %", "you travel {} per cent of your time"),
        ("at most {} % travel", "travel up to {} per cent, not more", "no more than {} % on the road", "cannot travel more than {} per cent"),
        ("ideally under {} % travel", "I'd rather travel less than {} per cent"),
        ("at least {} % travel or I get bored, no less", "only jobs with {} per cent travel and more"),
        ("I want to travel, ideally {} % or more", "the road suits me: {} per cent or more, if possible"),
    ),
    Amounts(
        "weekly hours", (10, 20, 30, 40), (15, 25, 35),
        ("{} hours a week", "{} h per week", "{} hours weekly", "a week of {} hours"),
        ("{} hours a week at most", "not more than {} hours weekly", "up to {} hours, that is fixed", "more than {} hours is not possible"),
        ("ideally under {} hours", "about {} hours or less would suit me"),
        ("at least {} hours a week", "not under {} hours, I have to live on it"),
        ("{} hours or more would be good", "ideally {} hours and up"),
    ),
    Amounts(
        "lifting", (10, 20, 40, 60), (15, 25, 50),
        ("lifting up to {} kg", "loads of {} kg", "you carry {} kg now and then", "boxes of up to {} kg"),
        ("no lifting over {} kg", "I can lift {} kg at most", "nothing heavier than {} kg", "{} kg is my limit for lifting"),
        ("rather not lift more than {} kg", "ideally under {} kg"),
    ),
)
