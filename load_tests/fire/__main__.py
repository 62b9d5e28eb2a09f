"""`python -m load_tests.fire [--minutes M | --tiny] [--only PART ...]`: everything under fire, each figure beside its
negative control, ending in one table and a JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from load_tests.fire.hostile_clients import hostile
from load_tests.fire.memory import memory
from load_tests.fire.overload import overload
from load_tests.fire.process import keep_apart
from load_tests.fire.result import TINY, Figure, Size, rows, sized
from load_tests.fire.shutdown import ending
from load_tests.fire.speed import speed
from load_tests.fire.swaps import swaps
from load_tests.report import json_line

Part = Callable[[Path, Size], Awaitable[list[Figure]]]
PARTS: dict[str, Part] = {
    "speed": speed,
    "overload": overload,
    "ending": ending,
    "swaps": swaps,
    "hostile": hostile,
    "memory": memory,
}


async def _figures(parts: Sequence[str], bundle: Path, size: Size) -> list[Figure]:
    figures: list[Figure] = []
    for name in parts:
        began = time.monotonic()
        figures += await PARTS[name](bundle, size)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 when a figure is missed, or its negative control is not."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.fire", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/jobs-v1"))
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=15, help="about how long on two cores; 200 is all of it")
    parser.add_argument("--tiny", action="store_true", help="a size that proves nothing but that every part works")
    parser.add_argument("--table", type=Path, help="a file for the table, beside the output")
    options = parser.parse_args(argv)
    size = TINY if options.tiny else sized(options.minutes)
    keep_apart()
    figures = asyncio.run(_figures(options.only, options.bundle, size))
    print(rows(figures))
    if options.table:
        options.table.write_text(rows(figures) + "\n")
    print(json_line("fire", {"size": asdict(size), "figures": [asdict(each) for each in figures]}))
    return 0 if all(each.reached and each.told_apart for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
