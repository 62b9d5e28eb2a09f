"""`python -m load_tests.fire [--minutes M | --tiny] [--only PART ...]`: measures reliability under load and abuse.

Each result has a negative control. Prints one table and a JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from load_tests.fire.fairness import fairness
from load_tests.fire.hostile_clients import hostile
from load_tests.fire.memory import memory
from load_tests.fire.overload import overload
from load_tests.fire.process import pin_to_last_core
from load_tests.fire.result import TINY, Result, Size, rows, sized
from load_tests.fire.shutdown import shutdown
from load_tests.fire.speed import speed
from load_tests.fire.swaps import swaps
from load_tests.report import json_line

Part = Callable[[Path, Size], Awaitable[list[Result]]]
PARTS: dict[str, Part] = {
    "speed": speed,
    "overload": overload,
    "shutdown": shutdown,
    "swaps": swaps,
    "fairness": fairness,
    "hostile": hostile,
    "memory": memory,
}


async def _results(parts: Sequence[str], bundle: Path, size: Size) -> list[Result]:
    results: list[Result] = []
    for name in parts:
        start = time.monotonic()
        results += await PARTS[name](bundle, size)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when a result misses its target, or its negative control meets it."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.fire", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/jobs-v1"))
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=15, help="approximate minutes on two cores; 200: full size")
    parser.add_argument("--tiny", action="store_true", help="smallest size: only checks that every part works")
    parser.add_argument("--table", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    size = TINY if options.tiny else sized(options.minutes)
    pin_to_last_core()
    results = asyncio.run(_results(options.only, options.bundle, size))
    print(rows(results))
    if options.table:
        options.table.write_text(rows(results) + "\n")
    print(json_line("fire", {"size": asdict(size), "results": [asdict(each) for each in results]}))
    return 0 if all(each.met and each.control_fails for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
