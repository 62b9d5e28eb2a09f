"""What features change in a student's heads, as step `distill` measures it and the model card states it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.files import read_json, write_json
from training.metrics.bootstrap import Interval

EFFECTS = "features.json"


@dataclass(frozen=True)
class FeatureEffect:
    """How much a head's logit changes, on average over pairs, from a low number of a feature to a high one.

    The interval is of 95 %, over members. Without `used` the feature did not lower the loss, and has no effect.
    """

    head: str
    feature: str
    unit: str
    low: float
    high: float
    change: Interval
    used: bool


def read_effects(folder: Path) -> list[FeatureEffect]:
    """What step `distill` wrote to its folder."""
    found = read_json(folder / EFFECTS)
    return [FeatureEffect(**{**each, "change": Interval(**each["change"])}) for each in found]


def write_effects(folder: Path, effects: Sequence[FeatureEffect]) -> None:
    write_json(folder / EFFECTS, [dataclasses.asdict(each) for each in effects])
