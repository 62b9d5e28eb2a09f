"""The bundles in a folder, by name and version. Opens no model."""

from __future__ import annotations

import json
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


def find_bundle(folder: Path, name: str, version: str) -> Path | None:
    """The bundle whose manifest states this name and version, intact or not: loading it verifies it."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            stated = json.loads((path / MANIFEST).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(stated, dict) and (stated.get("name"), stated.get("version")) == (name, version):
            return path
    return None
