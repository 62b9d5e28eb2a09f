"""The service with every model run recorded: graph, start, duration, shapes. For `bench` only.

Wraps the lowest seam, `Session.run_all`, so that the record does not depend on the service's structure. `--delay-ms`
delays each model run and each encoding of a member: the negative control of the bench's gates.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import runpy
import sys
import time
from pathlib import Path
from typing import IO
from weakref import WeakKeyDictionary

from models.runtime.session import Device, Feeds, Outputs, Session
from models.text import TextEncoder, TokenIds


def record_runs(log: IO[str], delay_s: float) -> None:
    """Log a JSON line for each session (threads) and each run (sha256 of the graph, start, duration, shapes)."""
    opened, run = Session.open.__func__, Session.run_all  # type: ignore[attr-defined]  # the function of a classmethod
    graphs: WeakKeyDictionary[Session, str] = WeakKeyDictionary()

    def open_recorded(kind: type[Session], graph: bytes, device: Device, threads: int, **options: object) -> Session:
        session: Session = opened(kind, graph, device, threads, **options)
        graphs[session] = hashlib.sha256(graph).hexdigest()
        log.write(json.dumps({"threads": threads}) + "\n")
        return session

    def run_recorded(session: Session, feeds: Feeds) -> Outputs:
        start = time.monotonic()
        outputs = run(session, feeds)
        if delay_s:
            time.sleep(delay_s)
        seconds = time.monotonic() - start
        shapes = {name: array.shape for name, array in feeds.items()}
        line = {"graph": graphs[session], "start": start, "seconds": seconds, "shapes": shapes}
        log.write(json.dumps(line) + "\n")
        return outputs

    # Replaced on purpose, in this process only: the service has no recorder.
    Session.open = classmethod(open_recorded)  # type: ignore[method-assign, assignment, arg-type]  # see above
    Session.run_all = run_recorded  # type: ignore[method-assign, assignment]  # see above


def delay_encoding(delay_s: float) -> None:
    """Delay the encoding of each member's text."""
    encode = TextEncoder.member

    def member(encoder: TextEncoder, text: str) -> TokenIds:
        time.sleep(delay_s)
        return encode(encoder, text)

    TextEncoder.member = member  # type: ignore[method-assign, assignment]  # replaced on purpose, as above


def main() -> None:
    """Run the service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    options = parser.parse_args()
    with options.log.open("w", buffering=1, encoding="ascii") as log:
        record_runs(log, options.delay_ms / 1000)
        if options.delay_ms:
            delay_encoding(options.delay_ms / 1000)
        sys.argv = ["service"]
        runpy.run_module("service", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
