"""A pool of pairs to label: read from a table, and drawn evenly over the scores of the present model.

member_id | candidate_id | member | candidate    the last two are texts, or columns `member.FIELD`, `candidate.FIELD`
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.template import Fields, Template
from training.data.lists import rendered
from training.data.tables import DataError, check_columns, empty, read_table
from training.judging.golden_set import PAIR
from training.judging.llm_judge import TextPair

STRATA = 5


@dataclass(frozen=True)
class Drawn:
    """The pairs that are labelled, and how many of the pool and of the draw each stratum has, from low scores to high.

    Without scores there is one stratum.
    """

    pairs: list[TextPair]
    in_pool: list[int]
    drawn: list[int]


def read_pool(path: Path, template: Template) -> list[TextPair]:
    """All pairs of a Parquet file. Raises DataError with file, row and column."""
    table = read_table(path)
    check_columns(table, {name: empty(name) for name in PAIR}, str(path))
    check_columns(table, {"candidate_id": (~pl.struct(PAIR).is_first_distinct(), "the pair appears twice")}, str(path))
    sides = {
        "member": _texts(table, "member", template.render_member, path),
        "candidate": _texts(table, "candidate", template.render_candidate, path),
    }
    texts = table.select(pl.col(PAIR).cast(pl.String)).with_columns(**{k: pl.Series(v) for k, v in sides.items()})
    check_columns(texts, {name: empty(name) for name in sides}, str(path))
    return [TextPair(*row) for row in texts.iter_rows()]


def _texts(table: pl.DataFrame, side: str, render: Callable[[Fields], str], path: Path) -> list[str]:
    """A column of texts, or columns of fields rendered as training and serving do."""
    if side in table.columns:
        if table[side].dtype != pl.String:
            raise DataError(f"{path}: column {side!r} holds {table[side].dtype}, not texts")
        return table[side].to_list()
    names = [name for name in table.columns if name.startswith(f"{side}.")]
    if not names:
        raise DataError(f"{path}: column {side!r} is missing, and so are columns `{side}.FIELD`")
    rows = table.select(names).iter_rows(named=True)
    fields = [{name.removeprefix(f"{side}."): value for name, value in row.items()} for row in rows]
    return [rendered(render, each, f"{path}: row {row}, column {side!r}") for row, each in enumerate(fields)]


def draw(pairs: Sequence[TextPair], scores: np.ndarray | None, count: int) -> Drawn:
    """`count` pairs, as even as the pool allows over five ranges of the score f64[pairs] in [0, 1].

    What models say is mostly low: drawn at random, a pool shows the judge little else. The same pool gives the same
    pairs, and a larger count adds to those of a smaller one.
    """
    places = np.zeros(len(pairs), dtype=int) if scores is None else _ranges(scores)
    strata = [
        [pair for pair, at in zip(pairs, places, strict=True) if at == place] for place in range(places.max() + 1)
    ]
    quotas = _quotas([len(each) for each in strata], count)
    drawn = [sorted(each, key=_order)[:quota] for each, quota in zip(strata, quotas, strict=True)]
    return Drawn([pair for each in drawn for pair in each], [len(each) for each in strata], quotas)


def _ranges(scores: np.ndarray) -> np.ndarray:
    places: np.ndarray = np.clip((scores * STRATA).astype(int), 0, STRATA - 1)
    return places


def _order(pair: TextPair) -> bytes:
    return hashlib.sha256(f"{pair.member_id} {pair.candidate_id}".encode()).digest()


def _quotas(sizes: Sequence[int], count: int) -> list[int]:
    """Equal shares of `count`; what a small stratum cannot give, the others do."""
    quotas = [0] * len(sizes)
    left = min(count, sum(sizes))
    while left:
        open_strata = [place for place, size in enumerate(sizes) if quotas[place] < size]
        share = max(1, left // len(open_strata))
        for place in open_strata:
            given = min(share, sizes[place] - quotas[place], left)
            quotas[place] += given
            left -= given
    return quotas
