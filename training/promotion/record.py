"""Who promoted what, why, and how it ended: one line of JSON for each event, beside the product.

A process that is killed leaves at most half a line at the end, which readers skip and the next line does not join.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.errors import UserError

RECORD = "promotions.jsonl"


@dataclass(frozen=True)
class Record:
    """The file of a product. `about` is in each line: promotion, product, version, digest, service, who and why."""

    path: Path
    about: Mapping[str, Any]

    def note(self, event: str, **further: object) -> None:
        """Append an event; it is on the disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"time": now, "event": event, **self.about, **further}, ensure_ascii=False)
        with self.path.open("a+b") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())


def read_record(path: Path) -> list[dict[str, Any]]:
    """All whole lines so far, oldest first; none where there is no file."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        events += [found] if isinstance(found, dict) else []
    return events


def never_live(path: Path, service: str, version: str) -> bool:
    """Whether the record has promotions of this version to the service, none of which made it live."""
    events = [
        each["event"]
        for each in read_record(path)
        if (each.get("service"), each.get("version")) == (service, version) and "event" in each
    ]
    return bool(events) and not {"activated", "live", "found live"} & {*events}


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """While a promotion of the product runs. Raises UserError if another one does; ends with the process."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another promotion of this product runs ({path} is locked): wait for its end") from None
        yield
