"""`make clients`: install each environment, run its clients against the service, and write the table of the documents.

It needs the standard library alone. Exit code 1 if a test fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.matrix.environments import ENVIRONMENTS, Environment, install

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- make clients writes this table -->", "<!-- end of the table -->"
HEAD = ("client", "call", "base URL", "route", "tests", "notes")
Row = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make clients", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the environments are")
    parser.add_argument("--serve", required=True, help="the interpreter that has the service's packages")
    parser.add_argument("--only", choices=[each.name for each in ENVIRONMENTS], help="one environment; no table")
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    failed = False
    for environment in ENVIRONMENTS:
        if given.only in (None, environment.name):
            print(f"== {environment.name}", flush=True)
            code, found = tried(environment, given.folder.resolve() / environment.name, given.serve)
            failed |= code != 0
            rows += found
    print(table(rows))
    passed, tests = (sum(row[name] for row in rows) for name in ("passed", "tests"))
    print(f"{len(rows)} calls of {len({row['library'] for row in rows})} libraries: {passed} of {tests} tests passed")
    if given.only is None and not failed:
        written(table(rows), PAGE)
    return int(failed)


def tried(environment: Environment, folder: Path, serve: str) -> tuple[int, list[Row]]:
    """Run the tests of one environment: pytest's exit code, and a row for each client."""
    python = install(environment, folder)
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-c", "pyproject.toml", "--confcutdir", "tests/matrix", "-q"]
    # Libraries warn about themselves, and leave sockets open.
    command += ["-p", "no:cacheprovider", "-W", "ignore", "--no-header", "tests/matrix/test_clients.py"]
    settings = {
        "MATRIX": " ".join(environment.modules),
        "MATRIX_RESULT": str(result),
        "SERVE_PYTHON": str(Path(serve).absolute()),
        "NODE_MODULES": str(folder / "node" / "node_modules"),
    }
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=False).returncode
    return code, json.loads(result.read_text(encoding="utf-8")) if result.exists() else []


def table(rows: Sequence[Row]) -> str:
    """The rows as a table of Markdown."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for row in rows:
        notes = [f"`{row['patched']}` is patched"] if row["patched"] else []
        notes += ["repeats a 503"] if row["waits"] else []
        notes += ["its error hides the reason"] if row["hides"] else []
        base = row["base"] if row["patched"] else f"`{row['base']}`"
        cells = (f"{row['library']} {row['version']}", row["call"], base, f"`{row['route']}`")
        lines.append((*cells, f"{row['passed']}/{row['tests']}", "; ".join(notes)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(found: str, page: Path) -> None:
    """Put the table between its marks."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{found}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
