"""Versions and the changelog: one SemVer version in every file, newer than the last tag, with its own section."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.release.result import Failed

# https://semver.org, without build metadata: an image's tag cannot hold its plus sign.
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?")
SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?\s*$", re.MULTILINE)


def declared(root: Path) -> dict[str, str]:
    """The version that each file names."""

    def toml(path: str) -> str:
        found: dict[str, Any] = tomllib.loads((root / path).read_text(encoding="utf-8"))
        return str(found["project"]["version"])

    chart = yaml.safe_load((root / "deploy/helm/fitscore/Chart.yaml").read_text(encoding="utf-8"))
    return {
        "pyproject.toml": toml("pyproject.toml"),
        "clients/python/pyproject.toml": toml("clients/python/pyproject.toml"),
        "Chart.yaml version": str(chart["version"]),
        "Chart.yaml appVersion": str(chart["appVersion"]),
    }


def version(root: Path) -> str:
    """The version of the release. Raises Failed if files differ, or it is not SemVer."""
    found = declared(root)
    if len(set(found.values())) != 1:
        raise Failed("; ".join(f"{name} says {value}" for name, value in found.items()))
    (one,) = set(found.values())
    if not SEMVER.fullmatch(one):
        raise Failed(f"{one} is not a version of SemVer")
    return one


def order(text: str) -> tuple[tuple[int, int, int], tuple[tuple[int, int, str], ...]]:
    """A key that sorts versions as SemVer does: a pre-release comes before its release."""
    found = SEMVER.fullmatch(text)
    assert found is not None
    numbers = (int(found[1]), int(found[2]), int(found[3]))
    if found[4] is None:
        return numbers, ((2, 0, ""),)
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in found[4].split("."))
    return numbers, parts


def tags(root: Path) -> list[str]:
    """The versions that are tagged as `v1.2.3`, the newest last; without the tags of this commit."""
    command = ["git", "tag", "--list", "v*", "--no-contains", "HEAD"]
    found = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split()
    return sorted((each[1:] for each in found if SEMVER.fullmatch(each[1:])), key=order)


def tag_of(root: Path) -> str:
    """The tag of a version on this commit, such as `v0.2.0`; empty where there is none."""
    command = ["git", "tag", "--list", "v*", "--points-at", "HEAD"]
    found = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split()
    return max((each for each in found if SEMVER.fullmatch(each[1:])), key=lambda each: order(each[1:]), default="")


def check_version(root: Path, tag: str) -> str:
    """Raises Failed unless the version is above the last tag, and is the one of `tag`. Without a tag it is a dry run:
    the version may still be the last one, until a bump.
    """
    one, last = version(root), (tags(root) or ["none"])[-1]
    if tag and tag != f"v{one}":
        raise Failed(f"the tag is {tag}, and the files say {one}")
    if last != "none" and (order(one) < order(last) or (tag and one == last)):
        raise Failed(f"{one} is not above the last tag, v{last}")
    return f"{one} in all {len(declared(root))} places; last tag: {last}"


@dataclass(frozen=True)
class Section:
    """A part of the changelog: its heading's version, its date or an empty one, and its text."""

    version: str
    date: str
    text: str


def sections(changelog: str) -> list[Section]:
    found = list(SECTION.finditer(changelog))
    ends = [*(each.start() for each in found), len(changelog)][1:]
    return [
        Section(each[1], each[2] or "", changelog[each.end() : end].strip())
        for each, end in zip(found, ends, strict=True)
    ]


def check_changelog(changelog: str, one: str, tag: str) -> str:
    """Raises Failed unless the newest version is this one, dated and described. For a tag, nothing waits above it."""
    found = sections(changelog)
    if not found or found[0].version != "Unreleased":
        raise Failed("the first section is not [Unreleased]")
    waiting = found[0].text.count("\n- ") + found[0].text.startswith("- ")
    if waiting and tag:
        raise Failed(f"[Unreleased] has {waiting} entries; python -m deploy.release bump VERSION moves them")
    if len(found) < 2 or found[1].version != one:
        raise Failed(f"the newest section is not [{one}]")
    if not found[1].date:
        raise Failed(f"[{one}] has no date")
    if "- " not in found[1].text:
        raise Failed(f"[{one}] has no entries")
    return f"[{one}] of {found[1].date}" + (f"; dry run: {waiting} entries wait for the next" if waiting else "")


def bump(root: Path, one: str, date: str) -> None:
    """Write the version into every file, and move what is unreleased under it. Raises Failed for an older version."""
    if not SEMVER.fullmatch(one) or order(one) <= order(version(root)):
        raise Failed(f"{one} is not a version of SemVer above {version(root)}")
    for path in ("pyproject.toml", "clients/python/pyproject.toml"):
        _replace(root / path, r'^version = ".*"$', f'version = "{one}"')
    _replace(root / "deploy/helm/fitscore/Chart.yaml", r"^version: .*$", f"version: {one}")
    _replace(root / "deploy/helm/fitscore/Chart.yaml", r"^appVersion: .*$", f"appVersion: {one}")
    _replace(root / "CHANGELOG.md", r"^## \[Unreleased\]$", f"## [Unreleased]\n\n## [{one}] - {date}")


def _replace(path: Path, pattern: str, text: str) -> None:
    before = path.read_text(encoding="utf-8")
    after, count = re.subn(pattern, text, before, count=1, flags=re.MULTILINE)
    assert count == 1, f"{path} has no line like {pattern}"
    path.write_text(after, encoding="utf-8")
