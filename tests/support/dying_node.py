"""A Ray cluster that loses a node under work. Light to import, because every worker does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray

from models.bulk.executors import Item, Key, RayExecutor, Result
from tests.support.waiting import eventually


def gated(
    open_worker: Callable[[], Callable[[Item], Result]], victim: str, notes: Path, others: int
) -> Callable[[Item], Result]:
    """A worker that leaves a file in `notes` for each item begun, and then waits: the victim until it is killed, others
    until the victim has begun one, and without end after `others` items.
    """
    worker = open_worker()
    here = ray.get_runtime_context().get_node_id()

    def waits() -> bool:
        return here == victim or not any(notes.glob(f"{victim}-*")) or len(list(notes.glob(f"{here}-*"))) > others

    def work(item: Item) -> Result:
        (notes / f"{here}-{uuid.uuid4().hex}").touch()
        eventually(lambda: not waits(), within=300)
        return worker(item)

    return work


@dataclass(frozen=True)
class LosingANode:
    """A Ray engine whose node `victim` is killed, in the middle of an item, once another node's first result is here.

    A file in `notes` for each time that an item was begun. A node that stays does `others` items at most: what is left
    then does not depend on how fast it is.
    """

    engine: RayExecutor
    cluster: Any
    victim: Any
    notes: Path
    others: int = 1000

    def map(
        self, open_worker: Callable[[], Callable[[Item], Result]], work: Iterable[tuple[Key, Item]]
    ) -> Iterator[tuple[Key, Result]]:
        gate = partial(gated, open_worker, self.victim.node_id, self.notes, self.others)
        for number, each in enumerate(self.engine.map(gate, work)):
            if number == 0:
                self.cluster.remove_node(self.victim, allow_graceful=False)
            yield each

    @property
    def begun(self) -> int:
        """How often an item was begun."""
        return len(list(self.notes.iterdir()))


def remove_once_begun(cluster: Any, victim: Any, notes: Path) -> None:
    """Kill the node as soon as it has left a file in `notes`."""
    eventually(lambda: any(notes.iterdir()), within=300)
    cluster.remove_node(victim, allow_graceful=False)


def where_it_runs() -> Callable[[str], str]:
    """A worker whose result is the address of the node; it fails on an empty item."""

    def work(item: str) -> str:
        if not item:
            raise LookupError("an item without a word")
        address: str = ray.util.get_node_ip_address()
        return f"{item} {address}"

    return work
