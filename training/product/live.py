"""What is live of a product, and which training is the next: a version, and the bundle that it starts warm from.

`promote` keeps a copy of each bundle that it made live in NAME/live. A training is pinned in NAME/training.json with a
digest of files and settings. When these change after the pinned version went live, the next version begins from the
bundle that is live then. So a promotion alone changes nothing that was trained.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.bundle.files import MANIFEST, Bundle
from training.errors import UserError
from training.files import digest, read_json, write_json, write_whole
from training.product.settings import SETTINGS, ProductSettings, SettingsError
from training.product.start import GRAPH

LIVE, PIN = "live", "training.json"
NEWEST = "newest"


@dataclass(frozen=True)
class Training:
    """One training of a product: its version, the encoder that it starts from as in `product.toml`, and what it read.

    `stated` is the version in `product.toml`, and `live` the bundle that the gate compares with, from the product's
    folder; "" where none is live.
    """

    stated: str
    version: str
    encoder: str
    live: str
    read: str


def live_bundle(folder: Path, settings: ProductSettings) -> Path | None:
    """The bundle that is live: the configured one, else the copy of the last promotion. Raises SettingsError."""
    if settings.live:
        path = folder / settings.live
        if not path.is_dir():
            raise SettingsError(f"{folder / SETTINGS}: live is {settings.live!r}: {path} is no folder")
        return path
    pointer = folder / LIVE / NEWEST
    return folder / LIVE / pointer.read_text(encoding="utf-8").strip() if pointer.exists() else None


def keep_live(folder: Path, bundle: Bundle) -> Path:
    """Keep a copy of the bundle that is live now, whole or not at all."""
    kept = folder / LIVE / f"{bundle.manifest.name}-v{bundle.manifest.version}"
    if not kept.exists() or Bundle.load(kept).digest != bundle.digest:
        partial = kept.with_name(f".{kept.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(bundle.path, partial)
        shutil.rmtree(kept, ignore_errors=True)
        partial.rename(kept)
    write_whole(folder / LIVE / NEWEST, f"{kept.name}\n".encode())
    return kept


def kept_bundle(folder: Path, settings: ProductSettings, name: str, version: str, beside: Path | None) -> Path:
    """The copy of a version that a service states as live; `beside` is a folder of bundles. Raises UserError."""
    places = [folder / LIVE / f"{name}-v{version}", *([beside / f"{name}-v{version}"] if beside else [])]
    places += [folder / settings.live] if settings.live else []
    found = next((path for path in places if (path / MANIFEST).exists() and _stated_version(path) == version), None)
    if found is None:
        raise UserError(
            f"version {version} is live, and there is no copy of it to compare with: name one with --live BUNDLE"
        )
    return found


def training_of(folder: Path, settings: ProductSettings) -> Training:
    """The training that `all` would run now. Reads files, writes none. Raises UserError."""
    live, now = live_bundle(folder, settings), _digest(folder, settings)
    pinned, promoted = _pinned(folder), _versions(folder, live)
    start = (settings.version, _relative(folder, live))
    if pinned and (pinned.read == now or (pinned.version not in promoted and (pinned.stated, pinned.live) == start)):
        return pinned
    version = settings.version if settings.version not in promoted else _next(promoted)
    encoder = _relative(folder, live) if live and (live / GRAPH).exists() else settings.encoder
    return Training(settings.version, version, encoder, _relative(folder, live), now)


def pin(folder: Path, settings: ProductSettings) -> Training:
    """Begin the training: what it reads and starts from stays, until files or settings change."""
    current = replace(training_of(folder, settings), read=_digest(folder, settings))
    if _pinned(folder) != current:
        write_json(folder / PIN, asdict(current))
    return current


def _pinned(folder: Path) -> Training | None:
    path = folder / PIN
    if not path.exists():
        return None
    try:
        return Training(**read_json(path))
    except (ValueError, TypeError):
        raise UserError(f"{path} is damaged: delete it, and `all` begins the next version") from None


def _digest(folder: Path, settings: ProductSettings) -> str:
    files = settings.files
    named = [each for each in (files.policy, files.pairs, files.log, files.candidates) if each]
    stated = settings.model_dump(mode="json", exclude_defaults=True, exclude={"live"})
    parts = [stated, [digest(folder / each) for each in named]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _versions(folder: Path, live: Path | None) -> list[str]:
    """Versions that are or were live."""
    kept = [path.name.rpartition("-v")[2] for path in (folder / LIVE).glob("*-v*") if not path.name.startswith(".")]
    return [*kept, *([_stated_version(live)] if live else [])]


def _stated_version(bundle: Path) -> str:
    try:
        return str(read_json(bundle / MANIFEST)["version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{bundle} is no bundle: its {MANIFEST} cannot be read") from None


def _next(promoted: list[str]) -> str:
    if not all(each.isdecimal() for each in promoted):
        raise UserError(f"version {max(promoted)} was live: set another `version` in product.toml")
    return str(max(map(int, promoted)) + 1)


def _relative(folder: Path, path: Path | None) -> str:
    return os.path.relpath(path, folder) if path else ""
