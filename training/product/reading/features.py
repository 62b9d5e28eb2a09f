"""Columns `feature.NAME` of pairs and log: numbers of a candidate in their units, empty where one is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.features import Feature
from models.tables.columns import as_number
from models.tables.table import Table, shown
from training.data.features import PREFIX

LOW, HIGH = 0.01, 0.99
"""The range of a new product's feature: these quantiles of its numbers."""


def feature_names(table: Table) -> list[str]:
    """The features that a file has, in the order of its columns."""
    return [name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX)]


def read_features(table: Table) -> Iterator[dict[str, float]]:
    """The features of each row by name, without the missing ones. Raises DataError with file, row and column."""
    names = feature_names(table)
    columns = [table.values(f"{PREFIX}{name}") for name in names]
    for row in range(table.height):
        values = [next(column) for column in columns]
        found = ((name, _number(table, row, name, value)) for name, value in zip(names, values, strict=True))
        yield {name: number for name, number in found if number is not None}


def _number(table: Table, row: int, name: str, value: object) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = as_number(value)
    if number is None:
        raise table.error(row, f"{PREFIX}{name}", f"{shown(value)} is no number: write one, or leave the cell empty")
    return number


def suggested_features(tables: Sequence[Table]) -> tuple[Feature, ...]:
    """What the files have, with ranges that hold nearly all of the numbers, and the median as the default.

    A feature with one number for all is left out: it has no range. Raises DataError.
    """
    numbers: dict[str, list[float]] = {name: [] for table in tables for name in feature_names(table)}
    for table in tables:
        for row in read_features(table):
            for name, number in row.items():
                numbers[name].append(number)
    found = []
    for name, known in numbers.items():
        low, median, high = (float(f"{each:.4g}") for each in np.quantile(known or [0.0], [LOW, 0.5, HIGH]))
        if low < high:
            default = min(max(median, low), high)
            found.append(Feature(name=name, unit="", low=low, high=high, default=default))
    return tuple(found)
