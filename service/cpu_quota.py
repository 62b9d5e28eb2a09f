"""How many cores this process may use: its CPU affinity, bounded by the CPU quota of its control groups.

A pod with a quota of half a core on a machine of 64 cores sees all 64. With as many threads it is throttled most of
the time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def usable_cores(root: Path = Path("/"), affinity: int | None = None) -> int:
    """Whole cores, at least one: threads beyond a quota only wait. `root` is where /proc and /sys are."""
    cores = len(os.sched_getaffinity(0)) if affinity is None else affinity
    return max(1, int(min([cores, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """The quota, in cores, of each control group that this process is in, and of the groups around it."""
    for folder in _groups(root):
        quota = _quota_v2(folder) or _quota_v1(folder)
        if quota is not None:
            yield quota


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups, innermost first. In a container only the outermost exists."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            mounts = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [mount / controllers, mount / "cpu"]
        else:
            continue
        within = PurePosixPath(path.lstrip("/"))
        for each in mounts:
            yield from (each / group for group in (within, *within.parents) if ".." not in group.parts)


def _quota_v2(folder: Path) -> float | None:
    """`cpu.max` holds microseconds per period, or "max"."""
    parts = _read(folder / "cpu.max").split()
    return _cores(*parts) if len(parts) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    """-1 is no quota."""
    return _cores(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _cores(quota: str, period: str) -> float | None:
    quota, period = quota.strip(), period.strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
