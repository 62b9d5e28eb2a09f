"""The memory of a model: whether a bundle fits before it is loaded, and what the garbage collector skips afterwards."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

# Measured: onnxruntime holds about three copies of a graph while it optimises it, and its libraries.
COPIES_WHILE_LOADING = 3
RUNTIME_BYTES = 150 << 20


class NotEnoughMemory(Exception):
    """The bundle does not fit; the message says what it needs and what is available."""


def check_memory(path: Path) -> None:
    """Raise NotEnoughMemory if the graphs of a bundle do not fit into the memory that the process may use."""
    sizes = [graph.stat().st_size for graph in path.glob("*.onnx")] if path.is_dir() else []
    # Graphs are loaded one after another: only the largest exists in all its copies at once.
    needed = sum(sizes) + max(sizes, default=0) * (COPIES_WHILE_LOADING - 1) + RUNTIME_BYTES
    available = _available_bytes()
    if available < needed:
        raise NotEnoughMemory(
            f"too little memory: {path} needs about {needed >> 20} MiB and {available >> 20} MiB are available"
        )


def freeze_objects() -> None:
    """Exclude all present objects from garbage collection: with a model among them, a collection takes 100 ms."""
    gc.collect()
    gc.freeze()


def _available_bytes() -> int:
    """The least that the machine, the limit of the process and its control group leave."""
    limits = [_meminfo("MemAvailable")]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            limits.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such cgroup version, or "max"
            continue
    return max(0, min(limits))


def _meminfo(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))
