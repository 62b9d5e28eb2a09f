"""The service that the clients call, and what their tests found, as a file for the table.

Run by `python -m tests.matrix` in the environment of each client, where nothing of the service is installed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.matrix.asking import KEY, Client
from tests.matrix.wire import Wire, wire

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_outcomes: dict[str, list[str]] = {}
_clients: dict[str, Client] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("platform")
            if (client := getattr(item, "callspec", None)) and "client" in client.params:
                _clients[item.nodeid] = client.params["client"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.nodeid in _clients and (report.when == "call" or report.failed) and not report.skipped:
        _outcomes.setdefault(report.nodeid, []).append(report.outcome)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write a row for each client, where MATRIX_RESULT names a file."""
    if not (target := os.environ.get("MATRIX_RESULT")):
        return
    rows = {}
    for client in _clients.values():
        mine = [each for node, each in _outcomes.items() if _clients[node] is client]
        rows[client.name] = {
            "library": client.library,
            "version": installed(client.library),
            "call": client.call,
            "base": client.base,
            "route": client.route,
            "patched": client.patched,
            "waits": client.waits,
            "hides": client.hides,
            "passed": sum(set(each) == {"passed"} for each in mine),
            "tests": len(mine),
        }
    Path(target).write_text(json.dumps(list(rows.values()), indent=1), encoding="utf-8")


def installed(library: str) -> str:
    """The version of a package of Python, or else of node."""
    try:
        return version(library)
    except PackageNotFoundError:
        package = Path(os.environ["NODE_MODULES"]) / library / "package.json"
        return str(json.loads(package.read_text(encoding="utf-8"))["version"])


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of `python -m service` with the jobs model and one key."""
    settings = {"BUNDLE": "models/jobs-v1", "PORT": "0", "THREADS": "1", "API_KEYS": f"matrix:{KEY}:score"}
    own = {name: text for name, text in os.environ.items() if not name.startswith("FITSCORE_")}
    environment = {**own, **{f"FITSCORE_{name}": text for name, text in settings.items()}}
    command = [os.environ["SERVE_PYTHON"], "-m", "service"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            port = next(
                (found[1] for line in process.stderr if (found := re.search(r"listening on .*:(\d+)", line))), 0
            )
            assert port, "the service did not start"
            assert any("ready: " in line for line in process.stderr)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture
def between(service: str) -> Iterator[Wire]:
    """The proxy that a client calls."""
    with wire(service) as state:
        yield state
