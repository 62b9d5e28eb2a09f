"""Checks of features: what is declared against what the columns hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from training.product.check.findings import Figures, Finding
from training.product.check.material import Material

OUTSIDE, MISSING = 0.05, 0.5


def check_features(material: Material) -> Iterator[Finding | Figures]:
    """Numbers of each declared feature against its range; columns that are not declared, and features without one."""
    rows: list[Mapping[str, float]] = [each.features for each in material.pairs]
    rows += [each.features for each in material.shown]
    held = {name for row in rows for name in row}
    declared = {each.name: each for each in material.settings.features}
    for name in sorted(held - declared.keys()):
        yield Finding("warning", "features", f"the column feature.{name} is not used: declare it in `features`")
    table = []
    for name, feature in declared.items():
        numbers = np.array([row[name] for row in rows if name in row])
        if not len(numbers):
            yield Finding("error", "features", f"no row has a number in feature.{name}: add them, or drop the feature")
            continue
        missing = 1 - len(numbers) / len(rows)
        outside = float(((numbers < feature.low) | (numbers > feature.high)).mean())
        lowest, median, highest = (f"{each:g}" for each in np.quantile(numbers, [0, 0.5, 1]))
        bounds = f"{feature.low:g} to {feature.high:g}"
        table.append((name, feature.unit, lowest, median, highest, bounds, f"{outside:.1%}", f"{missing:.0%}"))
        if outside > OUTSIDE:
            sentence = (
                f"{outside:.0%} of the numbers of feature.{name} are outside of {bounds}: they count as the bound"
            )
            yield Finding("warning", "features", sentence)
        if missing > MISSING:
            sentence = (
                f"{missing:.0%} of the rows have no feature.{name}: they count as the default, {feature.default:g}"
            )
            yield Finding("warning", "features", sentence)
        if len(np.unique(numbers)) == 1:
            yield Finding(
                "warning", "features", f"feature.{name} is the same in every row: nothing can be learnt of it"
            )
    if table:
        columns = ("feature", "unit", "lowest", "median", "highest", "range", "outside", "missing")
        yield Figures("Features", columns, tuple(table))
