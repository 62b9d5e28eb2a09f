"""Shapes of a graph's arrays: which dimension is which axis, how large a batch is, how arrays are padded.

Pure: knows arrays, no session and no texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError

Axis = Literal["rows", "candidates", "tokens"]
AnyArray = NDArray[Any]
Dims = Sequence[int | str | None]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a batch. Rows are the graph's pairs, members or candidates; an axis that a graph lacks is 1."""

    rows: int
    candidates: int = 1
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a graph: each dimension is a number or an axis."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int | Axis, ...]

    def shape(self, size: Size) -> tuple[int, ...]:
        """Its shape in a batch of this size."""
        return tuple(dim if isinstance(dim, int) else getattr(size, dim) for dim in self.dims)


def axes_of(inputs: Mapping[str, Dims]) -> dict[str, Axis]:
    """The axis of each named dimension of a graph, derived from its inputs.

    The score graph has `slots` [rows, candidates, S, d] and `member_mask` [rows, tokens] (absent if it only multiplies
    vectors). Every other graph has `input_ids` [rows, tokens]. Raises BundleError for a graph that has neither.
    """
    places: dict[Axis, tuple[str, int]]
    if "slots" in inputs:
        places = {"rows": ("slots", 0), "candidates": ("slots", 1)}
        if "member_mask" in inputs:
            places["tokens"] = ("member_mask", 1)
    elif "input_ids" in inputs:
        places = {"rows": ("input_ids", 0), "tokens": ("input_ids", 1)}
    else:
        raise BundleError(f"Fitscore has no graph with the inputs {', '.join(sorted(inputs))}")
    names = {inputs[name][index]: axis for axis, (name, index) in places.items()}
    named = {name: axis for name, axis in names.items() if isinstance(name, str)}
    if len(named) != len(places):
        raise BundleError("the axes of a graph must be dynamic and have distinct names")
    return named


def tensor(name: str, dtype: np.dtype[Any], dims: Dims, axes: Mapping[str, Axis]) -> Tensor:
    """An input or output from the graph's names of dimensions. Raises BundleError for a name that is no axis."""
    known = tuple(dim if isinstance(dim, int) else axes.get(str(dim)) for dim in dims)
    if None in known:
        raise BundleError(f"{name} has a dimension that no input of its graph names: {list(dims)}")
    return Tensor(name, dtype, tuple(dim for dim in known if dim is not None))


def size_of(inputs: Iterable[Tensor], feeds: Mapping[str, AnyArray]) -> Size:
    """The size of a batch of feeds. Raises ValueError where a feed is missing or has a wrong shape."""
    found: dict[str, int] = {}
    for each in inputs:
        array = feeds.get(each.name)
        if array is None or array.ndim != len(each.dims):
            raise ValueError(f"the graph needs {each.name} with {len(each.dims)} dimensions")
        for dim, length in zip(each.dims, array.shape, strict=True):
            wanted = dim if isinstance(dim, int) else found.setdefault(dim, length)
            if wanted != length:
                raise ValueError(f"{each.name} has a dimension of {length} where {wanted} is expected")
    return Size(**found)


def place(buffer: AnyArray, array: AnyArray) -> None:
    """Copy an array into the buffer's first corner and zero the rest, which masks exclude.

    Raises TypeError for an array of another kind, such as floats in place of ids.
    """
    np.copyto(buffer[corner(array.shape)], array, casting="same_kind")
    for axis, length in enumerate(array.shape):
        buffer[(*(slice(None),) * axis, slice(length, None))] = 0


def corner(shape: Sequence[int]) -> tuple[slice, ...]:
    """The first corner of a larger array."""
    return tuple(slice(0, length) for length in shape)
