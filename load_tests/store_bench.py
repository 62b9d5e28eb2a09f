"""Size and read speed of a store with a million candidates: `make store-bench`.

Fills an LMDB store with random slots and reads batches of random keys, each time in a new process: first with the file
system's cache as it is, then the same keys again, then with the file's pages evicted. Anonymous memory is the
process's own. Mapped pages of the file belong to the system's cache, which frees them on demand; they are shown apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from load_tests.report import quantile
from models.slots.codec import Slots, content_key, model_key
from models.slots.lmdb_file import MAX_BYTES, SlotFile

SHAPE = (4, 384)
FILL_BATCH = 4096
MODEL = model_key(b"store bench")
GIB, MIB = 1 << 30, 1 << 20


def fill(folder: Path, num_entries: int) -> float:
    """Write entries of random numbers; returns the seconds taken."""
    rng = np.random.default_rng(0)
    file = SlotFile(folder, MAX_BYTES)
    began = time.perf_counter()
    for start in range(0, num_entries, FILL_BATCH):
        count = min(FILL_BATCH, num_entries - start)
        rows: Slots = rng.integers(0, 0x7C00, size=(count, *SHAPE), dtype=np.uint16).view(np.float16)
        file.put_many({key_of(start + row): rows[row] for row in range(count)})
        print(f"\rfilled {start + count:,}", end="", file=sys.stderr, flush=True)
    file.close()
    print(file=sys.stderr)
    return time.perf_counter() - began


def key_of(number: int) -> bytes:
    """The key of one entry."""
    return content_key(MODEL, str(number))


def read(folder: Path, num_entries: int, batches: int, batch: int, seed: int) -> dict[str, float]:
    """Open the store and read random keys; microseconds a candidate over batches, by wall clock and processor time.

    On a busy machine the two differ widely: wall-clock time then measures the machine more than the store.
    """
    keys = [key_of(number) for number in np.random.default_rng(seed).integers(0, num_entries, size=batches * batch)]
    began = time.perf_counter()
    file = SlotFile(folder, MAX_BYTES)
    opened_s = time.perf_counter() - began
    waited: list[float] = []
    computed: list[float] = []
    missing = 0
    for start in range(0, len(keys), batch):
        began, computing = time.perf_counter(), time.thread_time()
        found = file.get_many(keys[start : start + batch])
        waited.append((time.perf_counter() - began) / batch * 1e6)
        computed.append((time.thread_time() - computing) / batch * 1e6)
        missing += sum(slots is None for slots in found)
    sizes = resident()
    file.close()
    if missing:
        raise SystemExit(f"{missing} entries are missing")
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        "open_s": opened_s,
        **{f"{name}_us": quantile(waited, share) for name, share in shares.items()},
        **{f"processor_{name}_us": quantile(computed, share) for name, share in shares.items()},
        **sizes,
    }


def resident() -> dict[str, float]:
    """The process's own memory, and the pages of files that it has mapped, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return {"anonymous_mib": sizes["RssAnon"] / MIB, "mapped_mib": sizes["RssFile"] / MIB}


def evict_pages(data: Path) -> None:
    """Evict the file from the system's cache, as after a restart of the machine."""
    with data.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """The whole run; each reading in a new process."""
    fill_s = fill(folder, options.entries)
    data = folder / "data.mdb"
    fresh = multiprocessing.get_context("spawn")
    readings = {}
    # "warm" repeats the keys of the reading before it: at least their pages are in memory.
    for name, seed in (("as cached", 1), ("warm", 1), ("pages evicted", 2)):
        if name == "pages evicted":
            evict_pages(data)
        with fresh.Pool(1) as pool:
            readings[name] = pool.apply(read, (folder, options.entries, options.batches, options.batch, seed))
    return {
        "entries": options.entries,
        "file_gib": data.stat().st_blocks * 512 / GIB,
        "fill_s": fill_s,
        "load": os.getloadavg()[0],
        **readings,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the results as JSON."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.store_bench", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the folder of temporary files")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="store-bench-", dir=options.folder))
    try:
        needed = options.entries * 4096 * 5 // 4 + MIB
        if shutil.disk_usage(folder).free < 2 * needed:
            print(f"not enough disk space: needs twice {needed / GIB:.1f} GiB", file=sys.stderr)
            return 1
        print(json.dumps(measure(folder, options), indent=2))
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
