"""Features: the numbers of a candidate that its text cannot carry, such as distance, age, price.

A bundle declares them; training and serving make a model's inputs of them by this code. Knows no texts and no graphs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors import FeatureError

# A manifest, which declares features, is read without numpy.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Number = Annotated[float, Field(allow_inf_nan=False)]
Sent = Mapping[str, object]
"""Features of one candidate by name, as a caller sends them."""


class Feature(BaseModel):
    """A number of each candidate: its unit, the range that the model was trained for, and what a missing one counts as.

    The model reads 0 at `low` and 1 at `high`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    unit: str
    low: Number
    high: Number
    default: Number

    @model_validator(mode="after")
    def _in_order(self) -> Feature:
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise ValueError("low must be below high")
        if not self.low <= self.default <= self.high:
            raise ValueError("the default must be in the range")
        return self


@dataclass(frozen=True, eq=False, slots=True)
class FeatureRows:
    """A model's inputs f32[candidates, features], and what to know of them by place.

    `clipped` are features out of range, and `unused` those that the model does not have. A candidate with a fault has
    the defaults.
    """

    values: NDArray[np.float32]
    clipped: Mapping[int, Sequence[str]]
    unused: Mapping[int, Sequence[str]]
    faults: Mapping[int, FeatureError]


@dataclass(frozen=True)
class Features:
    """The features of a model, in the order of its inputs."""

    declared: tuple[Feature, ...] = ()

    def __len__(self) -> int:
        return len(self.declared)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.declared)

    @cached_property
    def defaults(self) -> NDArray[np.float32]:
        """Inputs f32[features] of a candidate that has none."""
        import numpy as np

        return self.scaled(np.full(len(self), np.nan))

    def scaled(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """Inputs f32[..., features] of numbers in their units; NaN where one is missing."""
        import numpy as np

        low, high, default = self._columns
        known = np.where(np.isnan(raw), default, raw)
        return np.asarray((np.clip(known, low, high) - low) / (high - low), np.float32)

    def read(self, sent: Sequence[Sent | None]) -> FeatureRows:
        """Inputs of candidates whose features came as these values. None and null are missing."""
        import numpy as np

        known = [values or _NOTHING for values in sent]
        declared = self._names
        unused = {
            place: sorted(values.keys() - declared)
            for place, values in enumerate(known)
            if not declared.issuperset(values)
        }
        faults: dict[int, FeatureError] = {}
        raw = np.empty((len(known), len(self)))
        for index, name in enumerate(self.names):
            raw[:, index] = _numbers(name, [values.get(name) for values in known], faults)
        raw[list(faults)] = np.nan
        return FeatureRows(self.scaled(raw), self._clipped(raw), unused, faults)

    def _clipped(self, raw: NDArray[Any]) -> dict[int, Sequence[str]]:
        import numpy as np

        low, high, _ = self._columns
        outside = (raw < low) | (raw > high)  # NaN is not
        places = np.flatnonzero(outside.any(axis=1)).tolist()
        return {place: [self.names[index] for index in np.flatnonzero(outside[place])] for place in places}

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _columns(self) -> NDArray[Any]:
        """Low, high and default of each feature, f64[3, features]."""
        import numpy as np

        rows = [(each.low, each.high, each.default) for each in self.declared]
        return np.array(rows, dtype=np.float64).reshape(-1, 3).T


NO_FEATURES = Features()
_NOTHING: Sent = {}
_PLAIN = frozenset({int, float, type(None)})


def merged(kept: Sent, sent: Sent | None) -> Sent:
    """Features that are kept with a candidate and those of a request, whose values count. Null is no value."""
    return {**kept, **{name: value for name, value in (sent or {}).items() if value is not None}}


def _numbers(name: str, column: list[object], faults: dict[int, FeatureError]) -> NDArray[Any]:
    """A feature of each candidate, NaN for a missing one; a value that is no finite number becomes a fault."""
    import numpy as np

    if _PLAIN.issuperset(map(type, column)):
        with contextlib.suppress(OverflowError):
            numbers = np.array(column, dtype=np.float64)  # None becomes NaN
            if np.isfinite(numbers).sum() == len(column) - column.count(None):
                return numbers
    found = [math.nan] * len(column)
    for place, value in enumerate(column):
        try:
            found[place] = _number(name, value)
        except FeatureError as fault:
            faults.setdefault(place, fault)
    return np.array(found)


def _number(name: str, value: object) -> float:
    """The value as a finite number, NaN for a missing one. Raises FeatureError."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FeatureError(name, "is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FeatureError(name, "is not a finite number")
    return number
