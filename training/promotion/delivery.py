"""A bundle into the folder of a service's bundles: whole or not at all, and never over another one of its version.

A service takes no bundle over HTTP. It opens folders beside the one that it started with, so that folder must be
reachable from here: the same disk, or a shared volume.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from models.bundle.files import MANIFEST, Bundle
from training.errors import UserError


def deliver(bundle: Bundle, folder: Path, *, replace: bool = False) -> Path:
    """The copy FOLDER/NAME-vVERSION. Raises UserError for a folder that is not there, or has another such bundle.

    `replace`: that other one came from here and never was live, so it gives way.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name the one that holds the service's bundles")
    manifest = bundle.manifest
    target = folder / f"{manifest.name}-v{manifest.version}"
    partial = folder / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    if target.exists() and not replace:
        if Bundle.load(target).digest != bundle.digest:
            raise UserError(
                f"{target} holds another bundle of version {manifest.version}: a version never changes, so set"
                " another `version` in product.toml and export again"
            )
        return target
    partial.mkdir()
    # The manifest comes last: without one a folder is no bundle to the service, which may look at any time.
    for path in sorted(bundle.path.iterdir(), key=lambda each: each.name == MANIFEST):
        with path.open("rb") as source, (partial / path.name).open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target
