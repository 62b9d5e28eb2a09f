"""Simulated behaviour over real or generated candidate lists, with a known truth. No openly licensed log exists.

Two truths make a log. Attraction: the chance of each action once a candidate was looked at, from its gain and its text.
Examination: the chance that a place is looked at at all. Lists are shown in an order that already knows something of
what fits, as a live product shows them, so that place and attraction hang together in the log.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from training.data.impressions import POSITION
from training.data.lists import FieldList

ACTIONS = ("click", "apply", "dismiss")
Attraction = Callable[[FieldList], Mapping[str, Sequence[float]]]
"""A list to the chance of each action for each of its candidates, once looked at; apply <= click <= 1 - dismiss."""
Ordering = Callable[[FieldList], Sequence[float]]
"""A list to the scores by which the product that made the log showed it."""


def power_law(positions: int, exponent: float) -> tuple[float, ...]:
    """Chance that each place is looked at: (1 / place) ** exponent (Joachims et al., WSDM 2017)."""
    return tuple(place**-exponent for place in range(1, positions + 1))


def attraction_of_texts(
    each: FieldList, *, gain: str = "relevance", told_in: str = "headline"
) -> dict[str, list[float]]:
    """Members click what fits, what sounds like their own words and what is short; they apply to what fits.

    More than the gain, so that engagement is another question than relevance; all of it stands in the texts.
    """
    headline = _words(each.member.get(told_in))
    click, apply, dismiss = [], [], []
    for candidate, gained in zip(each.candidates, each.labels[gain], strict=True):
        title, fit = _words(candidate.get("title")), gained or 0.0
        familiar = len(title & headline) / max(len(title), 1)
        short = 1.0 if len(title) <= 3 else 0.0
        click.append(0.06 + 0.45 * fit + 0.25 * familiar + 0.12 * short)
        apply.append(click[-1] * (0.08 + 0.5 * fit))
        dismiss.append(0.3 * (1 - fit) * (1 - familiar) * (1 - click[-1]))
    return {"click": click, "apply": apply, "dismiss": dismiss}


def simulated_log(
    lists: Iterable[FieldList], attraction: Attraction, curve: Sequence[float], *, seed: int
) -> Iterator[FieldList]:
    """A product's log over graded lists of all splits: training lists as it ranks them, validation lists in random
    order, as products show a little of their traffic, and test lists answered as if every place were looked at, which
    only a simulation can do. `curve` has a chance for each place of the longest list.
    """
    shown: dict[str, tuple[Ordering, Sequence[float]]] = {
        "train": (gain_order, curve),
        "valid": (no_order, curve),
        "test": (no_order, [1.0] * len(curve)),
    }
    for number, each in enumerate(lists):
        shown_by, examination = shown[each.split]
        logged = replace(each, list_id=f"log/{each.list_id}", source=f"log of {each.source}")
        yield from impressions(iter([logged]), attraction, examination, seed=seed + number, shown_by=shown_by)


def no_order(each: FieldList) -> Sequence[float]:
    """No candidate before another: what is left is chance."""
    return [0.0] * len(each.candidates)


def gain_order(each: FieldList, *, gain: str = "relevance") -> Sequence[float]:
    """The order of a product that ranks by what fits."""
    return [gained or 0.0 for gained in each.labels[gain]]


def impressions(
    lists: Iterator[FieldList],
    attraction: Attraction,
    examination: Sequence[float],
    *,
    seed: int,
    shown_by: Ordering = gain_order,
    exploration: float = 0.5,
) -> Iterator[FieldList]:
    """Each list as it was shown and answered once: labels are the actions (0 or 1) and `position`.

    `exploration` scales the Gumbel noise on the shown order; with none, place and score could not be told apart.
    """
    random_ = random.Random(seed)
    for each in lists:
        scores = [score - exploration * math.log(-math.log(random_.random())) for score in shown_by(each)]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        place = {index: rank + 1 for rank, index in enumerate(order)}
        answers = _answers(attraction(each), [examination[place[i] - 1] for i in range(len(order))], random_)
        yield replace(each, labels={**answers, POSITION: [float(place[i]) for i in range(len(order))]})


def _answers(
    chances: Mapping[str, Sequence[float]], examined: Sequence[float], random_: random.Random
) -> dict[str, list[float]]:
    """One draw decides all actions of an impression: who applies has clicked, and who dismisses has not."""
    answers: dict[str, list[float]] = {action: [] for action in ACTIONS}
    for index, chance in enumerate(examined):
        is_seen, draw = random_.random() < chance, random_.random()
        answers["click"].append(float(is_seen and draw < chances["click"][index]))
        answers["apply"].append(float(is_seen and draw < chances["apply"][index]))
        answers["dismiss"].append(float(is_seen and draw > 1 - chances["dismiss"][index]))
    return answers


def _words(value: object) -> set[str]:
    text = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "")
    return {word.strip(",.;:()/").lower() for word in text.split()} - {""}
