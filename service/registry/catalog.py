"""The bundles in a folder, by name and version. Opens no model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from models.bundle.files import MANIFEST, Bundle
from models.bundle.manifest import Manifest
from models.errors import BundleError


def installed(folder: Path) -> list[Manifest]:
    """Manifests of the intact bundles in a folder; skips anything else."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.append(Bundle.load(path).manifest)
        except BundleError:
            continue
    return found


def stated_name(path: Path) -> str:
    """The name that a bundle's manifest states; the folder's name if it states none, which loading then refuses."""
    try:
        name = json.loads((path / MANIFEST).read_bytes())["name"]
    except (OSError, ValueError, TypeError, KeyError):
        return path.name
    return name if isinstance(name, str) else path.name


@dataclass(frozen=True, slots=True)
class FoundBundle:
    """A folder whose manifest states a name and a version, and the manifest's SHA-256."""

    path: Path
    digest: str


def find_bundle(folder: Path, name: str, version: str) -> FoundBundle | None:
    """The bundle whose manifest states this name and version, intact or not: loading it verifies it."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            raw = (path / MANIFEST).read_bytes()
            stated = json.loads(raw)
        except (OSError, ValueError):
            continue
        if isinstance(stated, dict) and (stated.get("name"), stated.get("version")) == (name, version):
            return FoundBundle(path, hashlib.sha256(raw).hexdigest())
    return None
