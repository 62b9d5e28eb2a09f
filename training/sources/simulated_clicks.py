"""Simulated clicks over real or generated candidate lists, with known truth. No openly licensed log exists.

Two probabilities make a log. Attractiveness: that of each action if the candidate is examined, from its gain and text.
Examination: that of looking at a position at all. Lists are shown in an order that correlates with relevance, as in a
live product, so position and attractiveness are correlated in the log.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from training.data.impressions import POSITION
from training.data.lists import FieldList

ACTIONS = ("click", "apply", "dismiss")
Attractiveness = Callable[[FieldList], Mapping[str, Sequence[float]]]
"""A list to P(action | examined) of each action for each candidate; apply <= click <= 1 - dismiss."""
Ordering = Callable[[FieldList], Sequence[float]]
"""A list to the scores by which the logging product ordered it."""


def power_law(positions: int, exponent: float) -> tuple[float, ...]:
    """P(examined) of each position: (1 / position) ** exponent (Joachims et al., WSDM 2017)."""
    return tuple(position**-exponent for position in range(1, positions + 1))


def attractiveness_of_texts(each: FieldList, *, words_field: str = "headline") -> dict[str, list[float]]:
    """Members click what fits, what resembles their own words and what is short; they apply to what fits.

    It depends on more than the gain, so engagement differs from relevance; the texts determine all of it.
    """
    headline = _words(each.member.get(words_field))
    click, apply, dismiss = [], [], []
    for candidate, gained in zip(each.candidates, each.labels["relevance"], strict=True):
        title, fit = _words(candidate.get("title")), gained or 0.0
        familiar = len(title & headline) / max(len(title), 1)
        short = 1.0 if len(title) <= 3 else 0.0
        click.append(0.06 + 0.45 * fit + 0.25 * familiar + 0.12 * short)
        apply.append(click[-1] * (0.08 + 0.5 * fit))
        dismiss.append(0.3 * (1 - fit) * (1 - familiar) * (1 - click[-1]))
    return {"click": click, "apply": apply, "dismiss": dismiss}


def simulated_log(
    lists: Iterable[FieldList], attractiveness: Attractiveness, curve: Sequence[float], *, seed: int
) -> Iterator[FieldList]:
    """A product's log over graded lists of all splits. `curve` has P(examined) of each position of the longest list.

    Training lists are in the product's order. Validation lists are in random order, as a product shows a small part of
    its traffic. Test lists are answered as if every position were examined, which only a simulation can do.
    """
    shown: dict[str, tuple[Ordering, Sequence[float]]] = {
        "train": (gain_order, curve),
        "valid": (no_order, curve),
        "test": (no_order, [1.0] * len(curve)),
    }
    for number, each in enumerate(lists):
        shown_by, examination = shown[each.split]
        logged = replace(each, list_id=f"log/{each.list_id}", source=f"log of {each.source}")
        yield from impressions(iter([logged]), attractiveness, examination, seed=seed + number, shown_by=shown_by)


def no_order(each: FieldList) -> Sequence[float]:
    """Equal scores: only chance orders the candidates."""
    return [0.0] * len(each.candidates)


def gain_order(each: FieldList) -> Sequence[float]:
    """The order of a product that ranks by what fits."""
    return [gained or 0.0 for gained in each.labels["relevance"]]


def impressions(
    lists: Iterator[FieldList],
    attractiveness: Attractiveness,
    examination: Sequence[float],
    *,
    seed: int,
    shown_by: Ordering = gain_order,
    exploration: float = 0.5,
) -> Iterator[FieldList]:
    """Each list, shown and answered once: labels are the actions (0 or 1) and `position`.

    `exploration` scales the Gumbel noise on the shown order; without noise, position and score are not separable.
    """
    random_ = random.Random(seed)
    for each in lists:
        scores = [score - exploration * math.log(-math.log(random_.random())) for score in shown_by(each)]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        position = {index: rank + 1 for rank, index in enumerate(order)}
        answers = _answers(attractiveness(each), [examination[position[i] - 1] for i in range(len(order))], random_)
        yield replace(each, labels={**answers, POSITION: [float(position[i]) for i in range(len(order))]})


def _answers(
    chances: Mapping[str, Sequence[float]], examined: Sequence[float], random_: random.Random
) -> dict[str, list[float]]:
    """One draw decides all actions of an impression: an application implies a click, a dismissal excludes it."""
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
