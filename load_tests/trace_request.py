"""Traces one `POST /score`: which files of this repository it enters, how often it changes file, and thread.

    python -m load_tests.trace_request [--bundle FOLDER] [--show warm|cold]

Starts the service in this process, on a free port, and profiles every thread while a request of two candidates runs.
Warm: the member and both candidates are known. Cold: none of them is. Each figure is the median of several requests.
A change of file is a call whose function is in another file than the call before it. Going back counts as well:
resuming a coroutine is a call.

An older tree can be traced too: run this file by its path with the root of that tree as the working directory.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import socket
import sys
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from types import FrameType

ROOT = Path.cwd()
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
FOLDERS = tuple(f"{ROOT / package}/" for package in ("service", "models"))
REQUESTS = 15
SETTLE_S = 0.05


@dataclass(frozen=True)
class Call:
    """One call of a function: its file, below the root, its name and its thread."""

    file: str
    function: str
    thread: int


class Tracer:
    """A profile function that remembers the calls of this repository's functions while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.calls: list[Call] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """See `sys.setprofile`."""
        code = frame.f_code
        if self.on and event == "call" and code.co_filename.startswith(FOLDERS):
            file = code.co_filename.removeprefix(f"{ROOT}/")
            self.calls.append(Call(file, code.co_qualname, threading.get_ident()))


@dataclass(frozen=True)
class Trace:
    """The calls of one request, in order of time."""

    calls: list[Call]

    def files(self) -> int:
        """How many files were entered."""
        return len({each.file for each in self.calls})

    def changes_of_file(self) -> int:
        """How often a call was in another file than the call before it."""
        return sum(a.file != b.file for a, b in itertools.pairwise(self.calls))

    def changes_of_thread(self) -> int:
        """How often a call was on another thread than the call before it."""
        return sum(a.thread != b.thread for a, b in itertools.pairwise(self.calls))


def serve(bundle: Path) -> int:
    """Start the service in a thread of this process; the port that it listens on."""
    import uvicorn

    from service.app import create_app
    from service.settings import read_settings

    try:
        server = import_module("service.http.server")
    except ImportError:  # an older tree
        server = import_module("service.__main__")

    settings = read_settings({"FITSCORE_BUNDLE": str(bundle), "FITSCORE_PORT": "0", "FITSCORE_THREADS": "1"})
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(settings)
    old = not hasattr(app, "guard")
    config = server.uvicorn_config(*((app, settings) if old else (app.guard, settings, app.context.metrics)))
    running = uvicorn.Server(config)
    threading.Thread(target=lambda: asyncio.run(running.serve([listener])), daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def body_of(number: int) -> bytes:
    """A request of two candidates; each number has texts of its own."""
    fields = {"title": f"Data engineer {number}", "description": "Builds pipelines in Python and Spark."}
    candidates = [{"id": f"{number}-{each}", "fields": {**fields, "location": f"Town {each}"}} for each in range(2)]
    member = {"id": "m", "fields": {"headline": f"Data engineer {number}", "skills": ["python", "spark"]}}
    return json.dumps({"member": member, "candidates": candidates, "deadline_ms": 5000}).encode()


def score(connection: http.client.HTTPConnection, body: bytes) -> None:
    """Send one request. Raises RuntimeError unless every candidate was scored."""
    connection.request("POST", "/score", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    scores = json.loads(answer.read()).get("scores", [])
    if answer.status != 200 or {each["status"] for each in scores} != {"scored"}:
        raise RuntimeError(f"answered {answer.status} {scores}")


def traces(connection: http.client.HTTPConnection, tracer: Tracer, bodies: list[bytes]) -> list[Trace]:
    """One trace a request, each in a quiet moment."""
    found = []
    for body in bodies:
        time.sleep(SETTLE_S)  # what the request before it left behind is stored meanwhile
        tracer.calls = []
        tracer.on = True
        score(connection, body)
        tracer.on = False
        found.append(Trace(tracer.calls))
    return found


def report(name: str, found: list[Trace]) -> str:
    """One line of medians."""
    calls, files, changes, threads = (
        int(median(count(each) for each in found))
        for count in (lambda each: len(each.calls), Trace.files, Trace.changes_of_file, Trace.changes_of_thread)
    )
    return f"{name}: {files} files entered, {changes} changes of file, {threads} changes of thread, {calls} calls"


def main() -> None:
    """Trace warm and cold requests, and print both lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/jobs-v1"))
    parser.add_argument("--show", choices=("warm", "cold"), help="print the calls of one request, too")
    arguments = parser.parse_args()
    tracer = Tracer()
    threading.setprofile(tracer)
    port = serve(arguments.bundle)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        connection.request("GET", "/readyz")
        if json.loads(connection.getresponse().read())["phase"] == "ready":
            break
        time.sleep(SETTLE_S)
    for number in range(3):
        score(connection, body_of(number))
    cold = traces(connection, tracer, [body_of(number) for number in range(3, 3 + REQUESTS)])
    warm = traces(connection, tracer, [body_of(0)] * REQUESTS)
    print(report("warm", warm))
    print(report("cold", cold))
    if arguments.show:
        calls = {"warm": warm, "cold": cold}[arguments.show][-1].calls
        print("\n".join(f"{each.thread % 1000:03} {each.file}: {each.function}" for each in calls))


if __name__ == "__main__":
    main()
