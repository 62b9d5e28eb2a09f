"""Checks of the log: rates, sizes, and whether positions can be distinguished from what was shown there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean

from training.data.lists import SPLITS
from training.product.check.findings import Figures, Finding
from training.product.check.material import Material

LEAST_ACTIONS = 50
"""Fewer actions in a split fit no calibration, and give no figure."""
VARIED = 0.1
"""Under this share of candidates at several positions, a position and its candidates cannot be distinguished."""


def check_log(material: Material) -> Iterator[Finding | Figures]:
    """Base rates and counts of each split, rates by position, and the variance of positions."""
    if not material.shown:
        return
    actions = material.settings.log.actions
    rows = []
    for split in SPLITS:
        shown = [each for each in material.shown if material.log_splits[each.list_id] == split]
        total = sum(each.shown for each in shown)
        counts = {action: sum(each.actions[action] for each in shown) for action in actions}
        lists = len({each.list_id for each in shown})
        rates = [f"{counts[action]} ({counts[action] / total:.2%})" if total else "0" for action in actions]
        rows.append((split, str(lists), str(total), *rates))
        if not lists:
            yield Finding(
                "error",
                "sizes",
                f"no list of the log is in {split}: each split needs one at least: add lists, or a column `split`",
            )
            continue
        for action, count in counts.items():
            if not count or count == total:
                words = "never" if not count else "always"
                yield Finding("error", "base rates", f"{action} is {words} taken in {split}: there is nothing to learn")
            elif count < LEAST_ACTIONS:
                sentence = f"{action} is taken {count} times in {split}; {LEAST_ACTIONS} or more are wanted"
                yield Finding("warning", "base rates", sentence)
    yield Figures("Log", ("split", "lists", "shown", *actions), tuple(rows))
    yield from _positions(material)


def _positions(material: Material) -> Iterator[Finding | Figures]:
    if not material.settings.log.places:
        return
    places: dict[str, set[int]] = defaultdict(set)
    for each in material.shown:
        places[each.candidate_id].add(each.position)
    often = [found for found in places.values() if len(found) > 1]
    share = len(often) / len(places)
    if share < VARIED:
        sentence = (
            f"{share:.0%} of the candidates were shown at several positions: the log cannot say whether a position or"
            " its candidates draw actions. Show some lists in random order, or set log.places to 0"
        )
        yield Finding("warning", "positions", sentence)
    rows = []
    for place in sorted({each.position for each in material.shown})[:20]:
        at = [each for each in material.shown if each.position == place]
        rates = [
            f"{fmean(each.actions[action] / max(1, each.shown) for each in at):.2%}"
            for action in material.settings.log.actions
        ]
        rows.append((str(place), str(len(at)), *rates))
    yield Figures("Actions by position", ("position", "shown", *material.settings.log.actions), tuple(rows))
