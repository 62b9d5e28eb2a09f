"""Where a step's work runs: in this process, or on a Ray cluster, with the same results.

Work is a stream of keyed items, and a function of one item that is opened where it runs. Results come back to the
caller, each once, so that one process writes: a node that dies loses nothing that was written, and its item runs again
elsewhere. Ray's tasks, because Ray Data wants its whole input at once, and an actor of `ray.util.ActorPool` whose node
died keeps its item until it can restart. Knows neither labels nor slots.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from models.errors import UserError

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 20
"""Nodes that may die under one item before the item counts as the cause."""
LOOK_S = 10.0
"""Seconds without a result after which the nodes are counted again: Ray itself waits for a node without end."""
LOOPBACK = "127.0.0.1"


class ExecutorError(UserError):
    """An executor that cannot run, or lost its workers; the sentence says what is missing."""


class LocalExecutor:
    """One item after another, in this process."""

    def map(
        self, open_worker: Callable[[], Callable[[Item], Result]], work: Iterable[tuple[Key, Item]]
    ) -> Iterator[tuple[Key, Result]]:
        """Each item's result with its key, in order. `open_worker` is called once."""
        worker = open_worker()
        for key, item in work:
            yield key, worker(item)


LOCAL = LocalExecutor()


@dataclass(frozen=True)
class RayExecutor:
    """Tasks of `threads` CPUs and `gpus` GPUs each, on the cluster whose head is at `address` (HOST:PORT).

    Without an address: on a cluster of this machine that lasts as long as the work, listens on 127.0.0.1 and has no
    dashboard. Nodes need this package and Ray in the versions of this process. Raises ExecutorError if Ray is not
    installed.
    """

    address: str | None = None
    threads: int = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        import_ray(self.address)

    def map(
        self, open_worker: Callable[[], Callable[[Item], Result]], work: Iterable[tuple[Key, Item]]
    ) -> Iterator[tuple[Key, Result]]:
        """Each item's result once, with its key, in any order. `work` is read as workers become free.

        `open_worker` is called once a process; it, items and results must be picklable. Raises what the work raises,
        and ExecutorError when no node can do it.
        """
        ray = import_ray(self.address)
        try:
            self._connect(ray)
            most = 2 * self._slots(ray)
            opened = ray.put(open_worker)
            run = ray.remote(num_cpus=self.threads, num_gpus=self.gpus, max_retries=RETRIES)(_run)
            running: dict[Any, Key] = {}
            for key, item in work:
                # A reference in a list stays a reference: each process fetches the worker once, not each task.
                running[run.remote([opened], item)] = key
                if len(running) >= most:
                    yield from self._finished(ray, running)
            while running:
                yield from self._finished(ray, running)
        finally:
            ray.shutdown()

    def _connect(self, ray: ModuleType) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            try:
                ray.init(address="local", include_dashboard=False, **quiet)
            except Exception as error:  # Ray raises bare Exception where its processes take more than 30 s to start
                raise ExecutorError(f"Ray did not start: {error}") from error
            return
        try:
            # Ray itself retries for minutes at an address that does not answer.
            host, _, port = self.address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(address=self.address, **quiet)
        except (OSError, ValueError) as error:
            raise ExecutorError(f"no Ray cluster answers at {self.address} (HOST:PORT of its head)") from error

    def _finished(self, ray: ModuleType, running: dict[Any, Key]) -> Iterator[tuple[Key, Any]]:
        """Wait for at least one task, and remove those that are done."""
        while not (done := ray.wait(list(running), num_returns=1, timeout=LOOK_S)[0]):
            self._slots(ray)
        for task in done:
            try:
                result = ray.get(task)
            except ray.exceptions.RayTaskError:
                raise  # it is of the type that the work raised, too
            except ray.exceptions.RayError as error:
                raise ExecutorError(f"Ray lost a task for good ({type(error).__name__})") from error
            yield running.pop(task), result

    def _slots(self, ray: ModuleType) -> int:
        """Tasks that the cluster runs at once. Raises ExecutorError when no node is left that could run one."""
        slots = 0
        for node in (each["Resources"] for each in ray.nodes() if each["Alive"]):
            by_cpus = int(node.get("CPU", 0) // self.threads)
            slots += min(by_cpus, int(node.get("GPU", 0) / self.gpus)) if self.gpus else by_cpus
        if not slots:
            raise ExecutorError(f"no node of the Ray cluster has {self.threads} CPUs and {self.gpus:g} GPUs")
        return slots


Executor = LocalExecutor | RayExecutor


def import_ray(address: str | None) -> ModuleType:
    """Ray, without usage reports, and bound to 127.0.0.1 for a cluster of this machine.

    Raises ExecutorError if it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None or address.startswith(f"{LOOPBACK}:"):
        # The only way to make Ray use 127.0.0.1 as the node's address on every system (services.py of Ray 2.60).
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ExecutorError("the engine ray is not installed: pip install 'fitscore[ray]'") from error
    module: ModuleType = ray
    return module


def _run(opened: list[object], item: object) -> object:
    return _worker(opened[0])(item)


@functools.lru_cache(maxsize=1)
def _worker(opened: object) -> Callable[[object], object]:
    import ray

    open_worker: Callable[[], Callable[[object], object]] = ray.get(opened)
    return open_worker()
