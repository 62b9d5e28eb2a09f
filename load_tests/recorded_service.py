"""The service as it is, with every model run written down: when, how long, and in which shape. For `bench`
only.

It wraps the lowest seam, `Session.run`, so the record does not depend on how the service is built.
`--delay-ms` spoils the service on purpose (in each model run, and in each member's encoding): the negative
control of the bench's gates.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from models.session import Device, Session
from models.text import TextEncoder, TokenIds


def record_runs(log: IO[str], delay_s: float) -> None:
    """From now on each session says its threads and each run its shape, one JSON line each."""
    opened, run = Session.open.__func__, Session.run  # type: ignore[attr-defined]  # a classmethod has its function

    def open_recorded(kind: type[Session], graph: bytes, device: Device, threads: int) -> Session:
        log.write(json.dumps({"threads": threads}) + "\n")
        session: Session = opened(kind, graph, device, threads)
        return session

    def run_recorded(session: Session, feeds: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        start = time.monotonic()
        output = run(session, feeds)
        if delay_s:
            time.sleep(delay_s)
        num_pairs, longest = feeds["input_ids"].shape
        seconds = time.monotonic() - start
        log.write(json.dumps({"start": start, "seconds": seconds, "pairs": num_pairs, "longest": longest}) + "\n")
        return output

    # Replaced on purpose, in this process alone: the service itself carries no recorder.
    Session.open = classmethod(open_recorded)  # type: ignore[method-assign, assignment]  # see above
    Session.run = run_recorded  # type: ignore[method-assign, assignment]  # see above


def delay_encoding(delay_s: float) -> None:
    """Each member's text takes so much longer to encode."""
    encode = TextEncoder.member

    def member(encoder: TextEncoder, text: str) -> TokenIds:
        time.sleep(delay_s)
        return encode(encoder, text)

    TextEncoder.member = member  # type: ignore[method-assign, assignment]  # replaced on purpose, as above


def main() -> None:
    """Become the service."""
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
