"""Fills the slots of a new version before it goes live, so that its first requests do not find every candidate cold.

Texts come from the store (those of PUT /candidates, and those kept beside the slots) or from a catalogue file. They are
encoded at idle priority, behind every request. Slots that exist already are kept, so a fill that was interrupted goes
on where it ended. Knows no HTTP, and not how a version goes live.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from models.errors import StoreDown
from models.template import Content
from models.text import TokenIds
from service.batching.engine import EngineDead
from service.encoding.background import BACKGROUND_DEADLINE_S, GROUP_SIZE
from service.encoding.lookup import Lookup
from service.encoding.single_flight import SingleFlight
from service.encoding.slot_writer import SlotWriter
from service.encoding.tokenization import TokenizerThread
from service.errors import Conflict
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from service.request import Item
from service.store.interface import SlotStore, Stored, content_of
from service.store.shelves import Shelf

Source = Literal["stored", "catalogue"]
State = Literal["running", "done", "failed", "stopped"]
Entries = Sequence[tuple[str, Stored]]
# So many candidates are read from the source at once.
PAGE_SIZE = 256
# Candidates that could not be filled: this many are listed, all are counted.
MAX_LISTED = 100
# While a fill runs, candidates are stored for the live version only: later passes find them.
MAX_PASSES = 3


@dataclass(eq=False)
class FillProgress:
    """How far a fill is: `seen` candidates in this pass, of which some had slots before (`present`).

    `filled` counts over all passes.
    """

    version: str
    source: Source
    state: State = "running"
    reason: str | None = None
    seen: int = 0
    present: int = 0
    filled: int = 0
    unfilled: int = 0
    unfilled_ids: list[str] = field(default_factory=list)

    def begin_pass(self) -> None:
        """Count from the beginning; what was filled stays counted."""
        self.seen = self.present = self.unfilled = 0
        self.unfilled_ids.clear()

    def count(self, present: int, filled: int, unfilled: Sequence[str]) -> None:
        """Count a group of candidates."""
        self.seen += present + filled + len(unfilled)
        self.present += present
        self.filled += filled
        self.unfilled += len(unfilled)
        self.unfilled_ids += unfilled[: MAX_LISTED - len(self.unfilled_ids)]


@dataclass(frozen=True, eq=False, slots=True)
class Filler:
    """Encodes the candidates of one product for a model. `lookup` and `flight` read and write `slots` alone."""

    shelf: Shelf
    catalogue: Path | None
    slots: SlotStore
    lookup: Lookup
    flight: SingleFlight
    tokenizer: TokenizerThread
    writer: SlotWriter

    async def fill(self, model: LiveModel, progress: FillProgress) -> None:
        """Fill from the source of `progress`, and count there. Raises Conflict for a source that cannot be used."""
        operations = model.operations
        if not isinstance(operations, SplitOperations):
            raise Conflict("this version keeps no slots: its model reads member and candidate together")
        for _ in range(MAX_PASSES):
            progress.begin_pass()
            before = progress.filled
            pages = self._pages(progress.source)
            while (page := await asyncio.to_thread(next, pages, None)) is not None:
                for start in range(0, len(page), GROUP_SIZE):
                    await self._fill_group(model, operations, page[start : start + GROUP_SIZE], progress)
            if progress.filled == before:
                break
        progress.present = max(0, progress.present - progress.filled)  # the last pass found those as well

    def _pages(self, source: Source) -> Iterator[Entries]:
        if source == "catalogue":
            if self.catalogue is None:
                raise Conflict("no catalogue is set: FITSCORE_CATALOGUE names its file")
            return catalogue_pages(self.catalogue)
        kept = self.shelf.kept.pages(PAGE_SIZE) if self.shelf.kept else iter(())
        return itertools.chain(self.shelf.texts.pages(PAGE_SIZE), kept)

    async def _fill_group(
        self, model: LiveModel, operations: SplitOperations, group: Entries, progress: FillProgress
    ) -> None:
        candidates = [Item(name, content_of(stored)) for name, stored in group]
        find = partial(self.lookup.unfilled, model, operations.slots, candidates)
        found = await self.tokenizer.run_in_background(find)
        missing = dict(sorted(found.missing.items(), key=lambda each: len(each[1])))
        while missing:
            batch = _first_batch(operations, missing)
            latest = time.monotonic() + BACKGROUND_DEADLINE_S
            await self.flight.encode(operations.background, batch, arrived=latest, deadline=latest)
        await self.flight.stored()
        kept = await asyncio.to_thread(self.slots.get_many, list(found.missing))
        absent = {key for key, slots in zip(found.missing, kept, strict=True) if slots is None}
        lost = [name for name, keys in found.needs if not absent.isdisjoint(keys)]
        unfilled = [*found.unreadable, *lost]
        num_needed = len(found.needs)
        progress.count(len(group) - num_needed - len(found.unreadable), num_needed - len(lost), unfilled)


def _first_batch(operations: SplitOperations, missing: dict[bytes, TokenIds]) -> dict[bytes, TokenIds]:
    """Remove and return as many of the shortest texts as one short batch holds."""
    batch: dict[bytes, TokenIds] = {}
    for key, ids in missing.items():
        if batch and len(batch) >= operations.background.batch_policy.max_items(len(ids)):
            break
        batch[key] = ids
    for key in batch:
        del missing[key]
    return batch


def catalogue_pages(path: Path, size: int = PAGE_SIZE) -> Iterator[Entries]:
    """The candidates of a file of JSON lines, each with `id` and `text` or `fields`. Raises Conflict with the line."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
            while page := [_entry(number, line) for number, line in itertools.islice(numbered, size)]:
                yield page
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Conflict(f"the catalogue cannot be read: {type(error).__name__}") from None


def _entry(number: int, line: str) -> tuple[str, Content]:
    try:
        entry = json.loads(line)
        content = entry.get("text") if entry.get("fields") is None else entry["fields"]
    except (ValueError, AttributeError):
        raise Conflict(f"line {number} of the catalogue is not a JSON object") from None
    name = entry.get("id")
    if not isinstance(name, str) or not isinstance(content, str | dict):
        raise Conflict(f"line {number} of the catalogue needs an id, and a text or fields")
    return name, content


class FillThenActivate:
    """One fill at a time of one product; when it is done, `go_live(model)` is called."""

    def __init__(self, filler: Filler) -> None:
        self._filler = filler
        self._task: asyncio.Task[None] | None = None
        self.progress: FillProgress | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def begin(self, model: LiveModel, source: Source, go_live: Callable[[LiveModel], None]) -> None:
        """Start to fill, in the background. Raises Conflict while another fill runs."""
        if self.is_running:
            raise Conflict("a fill is running; activate its version without a fill to end it")
        self.progress = FillProgress(model.version, source)
        self._task = asyncio.create_task(self._run(model, self.progress, go_live))

    async def _run(self, model: LiveModel, progress: FillProgress, go_live: Callable[[LiveModel], None]) -> None:
        try:
            await self._filler.fill(model, progress)
        except (Conflict, StoreDown) as error:
            progress.state, progress.reason = "failed", str(error)
        except EngineDead:
            progress.state = "stopped"
        except asyncio.CancelledError:
            progress.state = "stopped"
            raise
        except Exception as error:  # a store may raise anything; its message may hold texts
            progress.state, progress.reason = "failed", type(error).__name__
        else:
            progress.state = "done"
            go_live(model)

    async def stop(self) -> None:
        """End the fill, if one runs. What it has filled stays."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def close(self) -> None:
        """End the fill and its writes."""
        await self.stop()
        await asyncio.to_thread(self._filler.writer.close)
