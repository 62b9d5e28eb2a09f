"""`make release-check`: every check of a release, one line each. `bump VERSION` prepares one.

    python -m deploy.release check [--tag v0.2.0] [--only NAME ...] [--venv .venv] [--out build/release]
    python -m deploy.release bump 0.2.0

Without a tag, given or on this commit, it is a dry run: entries of the next version may wait in the changelog. Exit
code 1 if a check fails. What could not be checked is listed as such, and never as passed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from deploy.release import artifacts, components, versions
from deploy.release.result import ROOT, Failed, NotChecked, Places, Result

Check = Callable[[Places], str]


def vulnerabilities(_: Places) -> str:
    raise NotChecked("no vulnerability database can be reached from here: scan sbom.cdx.json where one can")


def checks(tag: str) -> dict[str, Check]:
    """Each check by its name, the cheap ones first. `tag` is that of the release; empty for a dry run."""

    def text(name: str) -> str:
        return (ROOT / name).read_text(encoding="utf-8")

    return {
        "version": lambda _: versions.check_version(ROOT, tag),
        "changelog": lambda _: versions.check_changelog(text("CHANGELOG.md"), versions.version(ROOT), tag),
        "licences": components.licences,
        "sbom": lambda places: components.bill_of_materials(places, text("constraints.txt")),
        "client": lambda places: artifacts.client(places, versions.version(ROOT)),
        "chart": lambda places: artifacts.chart(places, versions.version(ROOT)),
        "bundles": artifacts.bundles,
        "wheels": artifacts.nothing_internal,
        "dockerfile": artifacts.dockerfile,
        "image": artifacts.image,
        "exports": artifacts.exports,
        "vulnerabilities": vulnerabilities,
    }


def check(name: str, holds: Check, places: Places) -> Result:
    try:
        return Result(name, "ok", holds(places))
    except Failed as error:
        return Result(name, "failed", str(error))
    except NotChecked as error:
        return Result(name, "not checked", str(error))
    except (OSError, subprocess.CalledProcessError) as error:
        return Result(name, "failed", f"{type(error).__name__}: {error}")


def summary(results: Sequence[Result]) -> str:
    """The last line: how many checks passed, and the name of each other one."""
    found: dict[str, list[str]] = {"failed": [], "not checked": []}
    for each in results:
        if each.state != "ok":
            found[each.state].append(each.name)
    num = len(results) - sum(map(len, found.values()))
    others = [f"{state}: {', '.join(names)}" for state, names in found.items() if names]
    return "; ".join([f"{num} of {len(results)} checks passed", *others])


def run(options: argparse.Namespace, every: Mapping[str, Check]) -> int:
    places = Places(options.venv.absolute(), options.out.absolute())
    places.out.mkdir(parents=True, exist_ok=True)
    results = []
    for name in options.only or every:
        result = check(name, every[name], places)
        print(f"{result.state:<12}{name:<16}{result.detail}", flush=True)
        results.append(result)
    print(summary(results))
    return 1 if any(each.state == "failed" for each in results) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.release")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("check")
    one.add_argument("--only", nargs="+", choices=tuple(checks("")), default=[])
    one.add_argument("--tag", help="the tag that the release will get; default: the tag of this commit, if any")
    one.add_argument("--venv", type=Path, default=ROOT / ".venv")
    one.add_argument("--out", type=Path, default=ROOT / "build" / "release")
    commands.add_parser("bump").add_argument("version")
    options = parser.parse_args(arguments)
    if options.command == "check":
        tag = versions.tag_of(ROOT) if options.tag is None else options.tag
        print(f"release of {tag}" if tag else "dry run: no tag of a version is on this commit", flush=True)
        return run(options, checks(tag))
    try:
        versions.bump(ROOT, options.version, datetime.now(UTC).date().isoformat())
    except Failed as error:
        print(f"bump: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
