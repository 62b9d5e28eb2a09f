"""`encode`: a table of candidates -> slots in a store, the same entries as the service would make.

The table is Parquet with `id`, and `text` or `fields` (a struct); a row has one of the two, or neither. The store is
the checkpoint: a run that is started again encodes only missing entries, and several runs may share the work by shards
of the rows. The executor decides where texts are encoded; this process alone writes. Texts by id are not written: the
service gets those by `PUT /candidates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from tqdm import tqdm

from models.bulk.executors import LOCAL, Executor
from models.bundle.files import Bundle
from models.errors import BundleError, FieldError
from models.loading import graph_key, graphs_for, open_encoder, open_scorer
from models.scorers.split import SplitScorer
from models.slots.codec import Slots, chunk_keys, content_key
from models.slots.lmdb_file import IN_STORE, MAX_BYTES, SlotFile
from models.template import Template
from models.text import TextEncoder
from training.data.tables import READ_ERRORS, DataError, short_decimals
from training.nets.inference import length_batches

ROWS = 4096
"""Rows of one shard: read, looked up and sorted by length together."""
BATCH = 64
"""Candidates of one model run, and of one transaction: what a kill can cost."""


@dataclass(frozen=True)
class Shard:
    """Every `of`-th shard of the table, beginning with `number` (from 0)."""

    number: int = 0
    of: int = 1


WHOLE = Shard()


@dataclass(frozen=True)
class Done:
    """Rows that were read, candidates that were encoded, and rows without a text."""

    rows: int = 0
    encoded: int = 0
    empty: int = 0


def bulk_encode(
    table: Path, bundle: Path, store: Path, *, threads: int, shard: Shard = WHOLE, executor: Executor = LOCAL
) -> Done:
    """Fill `store` (the folder of FITSCORE_STORE=lmdb:FOLDER).

    Raises DataError, BundleError, StoreError or ExecutorError.
    """
    loaded = Bundle.load(bundle)
    if loaded.manifest.kind != "split":
        raise BundleError(f"{bundle} reads member and candidate together: it has nothing to store")
    file = SlotFile(store / IN_STORE, MAX_BYTES)
    filling = _Filling(file, graph_key(loaded, graphs_for(loaded, "cpu")["candidate"]), open_encoder(loaded))
    try:
        batches = filling.missing(_shards(table, loaded.manifest.text.template, shard))
        for keys, slots in executor.map(partial(_encoding, loaded, threads), batches):
            filling.put(keys, slots)
    finally:
        file.close()
    return filling.done


def _encoding(bundle: Bundle, threads: int) -> Callable[[list[str]], list[Slots]]:
    """Encodes a batch of texts in the process that calls this: slots [chunks, S, d] of each."""
    scorer, encoder = open_scorer(bundle, "cpu", threads), open_encoder(bundle)
    assert isinstance(scorer, SplitScorer)

    def encode(texts: list[str]) -> list[Slots]:
        read = encoder.read_candidates(texts)
        ids = [chunk for each in read for chunk in each.chunks]
        slots = np.concatenate([scorer.encode_candidates(ids[row : row + BATCH]) for row in range(0, len(ids), BATCH)])
        return np.split(slots, np.cumsum([each.counts.chunks for each in read])[:-1])

    return encode


class _Filling:
    """The store's one reader and writer: hands out missing candidates in batches, and writes their slots."""

    def __init__(self, file: SlotFile, model: bytes, encoder: TextEncoder) -> None:
        self._file = file
        self._model = model
        self._encoder = encoder
        self._under_way: set[bytes] = set()
        self.done = Done()

    def missing(self, shards: Iterable[list[str]]) -> Iterator[tuple[list[bytes], list[str]]]:
        """Keys and texts of each batch, of similar length: a batch is padded to its longest text."""
        for texts in shards:
            self.done = replace(self.done, rows=self.done.rows + len(texts), empty=self.done.empty + texts.count(""))
            wanted = {content_key(self._model, text): text for text in texts if text}
            keys = self._absent(wanted)
            for rows in length_batches([wanted[key] for key in keys], BATCH):
                batch = [keys[row] for row in rows]
                self._under_way.update(batch)
                yield batch, [wanted[key] for key in batch]

    def _absent(self, wanted: dict[bytes, str]) -> list[bytes]:
        """Keys of the texts that lack the slots of a chunk. A text is read to know its chunks."""
        found = self._file.get_many(list(wanted))
        present = [key for key, slots in zip(wanted, found, strict=True) if slots is not None]
        if self._encoder.chunks > 1:
            read = self._encoder.read_candidates([wanted[key] for key in present])
            further = [chunk_keys(key, text.counts.chunks)[1:] for key, text in zip(present, read, strict=True)]
            known = iter(self._file.get_many([key for keys in further for key in keys]))
            whole = [all([next(known) is not None for _ in keys]) for keys in further]
            present = [key for key, is_whole in zip(present, whole, strict=True) if is_whole]
        skipped = self._under_way.union(present)
        return [key for key in wanted if key not in skipped]

    def put(self, keys: list[bytes], slots: Iterable[Slots]) -> None:
        """Write a batch of texts, in one transaction."""
        entries: dict[bytes, Slots] = {}
        for key, rows in zip(keys, slots, strict=True):
            entries.update(zip(chunk_keys(key, len(rows)), rows, strict=True))
        self._file.put_many(entries)
        self._under_way.difference_update(keys)
        self.done = replace(self.done, encoded=self.done.encoded + len(keys))


def _shards(table: Path, template: Template, shard: Shard) -> Iterator[list[str]]:
    """The rendered texts of each shard of rows; "" where a row has none."""
    try:
        frame = pl.scan_parquet(table)
        schema = frame.collect_schema()
        num_rows = int(frame.select(pl.len()).collect().item())
    except READ_ERRORS as error:
        raise DataError(f"{table} cannot be read as Parquet ({type(error).__name__})") from error
    columns = _columns(table, schema)
    starts = range(shard.number * ROWS, num_rows, shard.of * ROWS)
    for start in tqdm(starts, desc="encode", unit="shard"):
        try:
            rows = frame.select(columns).slice(start, ROWS).collect()
        except READ_ERRORS as error:
            place = f"rows {start} to {min(start + ROWS, num_rows) - 1}"
            raise DataError(f"{table}: {place}: cannot be read ({type(error).__name__})") from error
        yield [_text(row, template, f"{table}: row {number}") for number, row in enumerate(_contents(rows), start)]


def _columns(table: Path, schema: pl.Schema) -> list[str]:
    """`text`, `fields` or both, of the types that the service accepts."""
    found = [name for name in ("text", "fields") if name in schema]
    if not found or "id" not in schema:
        raise DataError(f"{table} must have the columns id, and text or fields")
    wanted = {"text": (pl.String, "texts"), "fields": (pl.Struct, "structs, with a text, number or list a field")}
    for name in found:
        kind, words = wanted[name]
        if schema[name] not in (kind, pl.Null):
            raise DataError(f"{table}: column {name!r}: must hold {words}; it holds {schema[name]}")
    return found


def _contents(rows: pl.DataFrame) -> Iterator[tuple[str | None, dict[str, object] | None]]:
    """Text and fields of each row. A struct without any value counts as null, as readers of Parquet have it."""
    texts = rows["text"].to_list() if "text" in rows.columns else [None] * rows.height
    if rows.schema.get("fields", pl.Null) == pl.Null:
        yield from ((text, None) for text in texts)
        return
    fields = short_decimals(rows.select("fields").unnest("fields"))
    for text, row in zip(texts, fields.iter_rows(named=True), strict=True):
        yield text, None if all(value is None for value in row.values()) else row


def _text(row: tuple[str | None, dict[str, object] | None], template: Template, place: str) -> str:
    text, fields = row
    if text is not None and fields is not None:
        raise DataError(f"{place}, column 'fields': the row has a text too; give one of the two")
    try:
        return template.render_candidate(text if fields is None else fields)
    except FieldError as error:
        raise DataError(f"{place}, column 'fields': {error}") from None
