"""Replicas of the service as processes: each is limited, so that more of them add capacity even on two cores.

Calls go to the ready replica with the fewest open requests, as haproxy's `leastconn` sends them. Prometheus finds the
replicas by a file of targets.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from load_tests.client import Answer, BrokenAnswer, Connections
from load_tests.payloads import Call
from load_tests.server import free_port, wait_until_ready

Limit = Literal["delay", "quota"]
PERIOD_US = 20_000
STOP_S = 20.0


class NoQuota(Exception):
    """The machine does not let this process limit another one's CPU."""


def limit_cpu(name: str, process: int, cores: float) -> Path:
    """Put a process into a control group with a quota. Raises NoQuota. Both versions of control groups are known."""
    first, second = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    quota_us = round(cores * PERIOD_US)
    try:
        if first.is_dir():
            folder = first / name
            folder.mkdir()
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (second / "cgroup.subtree_control").write_text("+cpu")
            folder = second / name
            folder.mkdir()
            (folder / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        (folder / "cgroup.procs").write_text(str(process))
    except OSError as error:
        raise NoQuota(f"a CPU quota needs root and control groups: {error}") from None
    return folder


@dataclass(eq=False)
class Replica:
    """A process of the service. `open` requests count for balancing."""

    port: int
    process: subprocess.Popen[bytes]
    connections: Connections
    group: Path | None = None
    ready: bool = False
    open: int = 0

    @property
    def instance(self) -> str:
        """Its name in Prometheus."""
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Kind:
    """How every replica runs: the bundle, and its limit, as cores or as milliseconds for a text or pair."""

    bundle: Path
    limit: Limit
    cores: float
    delay_ms: float
    settings: Mapping[str, str]

    def command(self) -> list[str]:
        delayed = ["-m", "load_tests.autoscaling.delayed_service", str(self.delay_ms)]
        return [sys.executable, *(delayed if self.limit == "delay" else ["-m", "service"])]


@dataclass
class Fleet:
    """The replicas that run or start. `targets` is the file that Prometheus reads."""

    kind: Kind
    targets: Path
    replicas: list[Replica] = field(default_factory=list)
    _changing: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: list[Replica] = field(default_factory=list)

    @property
    def ready(self) -> list[Replica]:
        return [each for each in self.replicas if each.ready]

    def resize(self, wanted: int) -> None:
        """Start replicas, or stop the youngest ones after their open requests."""
        while len(self.replicas) < wanted:
            replica = self._start()
            self.replicas.append(replica)
            self._spawn(self._get_ready(replica))
        while len(self.replicas) > wanted:
            replica = self.replicas.pop()
            self._stopping.append(replica)
            self._spawn(self._stop(replica))
        self._write_targets()

    async def settle(self) -> None:
        """Wait until every start and stop is done."""
        while self._changing:
            await asyncio.gather(*self._changing)

    async def call(self, request: Call) -> Answer | None:
        """Send to the replica with the fewest open requests; None if no replica is ready, or there is no answer."""
        if not self.ready:
            return None
        replica = min(self.ready, key=lambda each: each.open)
        replica.open += 1
        try:
            return await replica.connections.post(request.path, request.body, request.headers)
        except (BrokenAnswer, OSError):
            return None
        finally:
            replica.open -= 1

    def kill(self) -> None:
        """End what still runs."""
        for each in (*self.replicas, *self._stopping):
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()
            if each.group is not None and each.group.exists():
                each.group.rmdir()

    def _spawn(self, change: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(change)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)

    def _start(self) -> Replica:
        port = free_port()
        own = {"FITSCORE_PORT": str(port), "FITSCORE_BUNDLE": str(self.kind.bundle), "FITSCORE_THREADS": "1"}
        process = subprocess.Popen(
            self.kind.command(), env={**os.environ, **self.kind.settings, **own}, stderr=subprocess.DEVNULL
        )
        return Replica(port, process, Connections(f"http://127.0.0.1:{port}"))

    async def _get_ready(self, replica: Replica) -> None:
        """The quota begins when the model is loaded: a node gives a starting pod what is free."""
        if not await wait_until_ready(f"http://{replica.instance}", "/readyz", replica.process):
            raise RuntimeError(f"the replica at {replica.instance} did not start")
        if self.kind.limit == "quota":
            replica.group = limit_cpu(f"fitscore-{replica.port}", replica.process.pid, self.kind.cores)
        replica.ready = True

    async def _stop(self, replica: Replica) -> None:
        replica.ready = False
        while replica.open:
            await asyncio.sleep(0.05)
        replica.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(replica.process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            replica.process.kill()
        if replica.group is not None:
            replica.process.wait()
            replica.group.rmdir()
        self._stopping.remove(replica)

    def _write_targets(self) -> None:
        names: Sequence[str] = [each.instance for each in self.replicas]
        new = self.targets.with_suffix(".new")
        new.write_text(json.dumps([{"targets": names, "labels": {"job": "fitscore"}}]), encoding="utf-8")
        new.replace(self.targets)
