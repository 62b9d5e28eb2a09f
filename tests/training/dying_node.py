"""A Ray cluster that loses a node under work. Light to import, because every worker does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray

from training.engines import Item, Key, RayEngine, Result


def gated(open_worker: Callable[[], Callable[[Item], Result]], victim: str, notes: Path) -> Callable[[Item], Result]:
    """A worker that leaves a file in `notes` for each item begun, and then waits: the victim until it is killed, others
    until the victim has begun one.
    """
    worker = open_worker()
    here = ray.get_runtime_context().get_node_id()

    def work(item: Item) -> Result:
        (notes / f"{here}-{uuid.uuid4().hex}").touch()
        while here == victim or not any(notes.glob(f"{victim}-*")):
            time.sleep(0.02)
        return worker(item)

    return work


@dataclass(frozen=True)
class LosingANode:
    """A Ray engine whose node `victim` is killed, in the middle of an item, once another node's first result is here.

    A file in `notes` for each time that an item was begun.
    """

    engine: RayEngine
    cluster: Any
    victim: Any
    notes: Path

    def map(
        self, open_worker: Callable[[], Callable[[Item], Result]], work: Iterable[tuple[Key, Item]]
    ) -> Iterator[tuple[Key, Result]]:
        gate = partial(gated, open_worker, self.victim.node_id, self.notes)
        for number, each in enumerate(self.engine.map(gate, work)):
            if number == 0:
                self.cluster.remove_node(self.victim, allow_graceful=False)
            yield each

    @property
    def begun(self) -> int:
        """How often an item was begun."""
        return len(list(self.notes.iterdir()))


def where_it_runs() -> Callable[[str], str]:
    """A worker whose result is the address of the node; it fails on an empty item."""

    def work(item: str) -> str:
        if not item:
            raise LookupError("an item without a word")
        address: str = ray.util.get_node_ip_address()
        return f"{item} {address}"

    return work
