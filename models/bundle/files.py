"""A bundle: the folder that training writes and the service loads. Reads, verifies and saves it.

    manifest.json     what the model is, with the sha256 and size of every other file
    manifest.sha256   the manifest's own digest, as `sha256sum` writes it
    manifest.sig      the signature of a signed bundle (see `signature.py`)
    *.onnx  tokenizer.json  card.md

Every file is read once: the bytes that were hashed are the bytes that are used. Knows files only; `models.loading`
makes a scorer of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from models.bundle.manifest import FileEntry, Manifest
from models.bundle.signature import TrustedSigner
from models.errors import BundleError

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
MANIFEST_SIGNATURE = "manifest.sig"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, held in memory. `digest` is the SHA-256 of its manifest, and so of all its files."""

    path: Path
    manifest: Manifest
    contents: Mapping[str, bytes]
    digest: str = ""

    @classmethod
    def load(cls, path: Path, signer: TrustedSigner | None = None) -> Bundle:
        """Read and verify a folder; with a `signer`, its signature too.

        Raises BundleError with a sentence that names the file or field at fault.
        """
        manifest, digest = _read_manifest(path, signer)
        _refuse_unlisted(path, manifest)
        contents = {name: _read_verified(path / name, entry) for name, entry in manifest.files.items()}
        _check_references(path, manifest)
        return cls(path, manifest, contents, digest)


def _read_manifest(path: Path, signer: TrustedSigner | None) -> tuple[Manifest, str]:
    """The manifest, and its digest."""
    if not path.is_dir():
        raise BundleError(f"{path} is not a bundle: no such folder")
    raw = _read_plain(path / MANIFEST)
    stated = _read_plain(path / MANIFEST_DIGEST)
    if stated != _digest_line(raw):
        raise BundleError(f"{path / MANIFEST} does not match {MANIFEST_DIGEST}: one of the two was changed")
    if signer is not None:
        name = path / MANIFEST_SIGNATURE
        signer.check(raw, _read_plain(name), name)
    try:
        return Manifest.model_validate_json(raw), hashlib.sha256(raw).hexdigest()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(f"{path / MANIFEST}: {field}: {first['msg']}") from error


def _read_plain(path: Path) -> bytes:
    if path.is_symlink():
        raise BundleError(f"{path} is a symbolic link; a bundle holds plain files only")
    if not path.is_file():
        raise BundleError(f"{path} is missing")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def _read_verified(path: Path, entry: FileEntry) -> bytes:
    raw = _read_plain(path)
    if len(raw) != entry.bytes:
        raise BundleError(f"{path} has {len(raw)} bytes, the manifest states {entry.bytes}")
    if hashlib.sha256(raw).hexdigest() != entry.sha256:
        raise BundleError(f"{path} was changed: its sha256 does not match the manifest")
    return raw


def _refuse_unlisted(path: Path, manifest: Manifest) -> None:
    for name in manifest.files:
        if Path(name).name != name:
            raise BundleError(f"{path / MANIFEST}: files.{name} is not a plain file name")
    unlisted = {each.name for each in path.iterdir()} - set(manifest.files)
    unlisted -= {MANIFEST, MANIFEST_DIGEST, MANIFEST_SIGNATURE}
    if unlisted:
        raise BundleError(f"{path / min(unlisted)} is not listed in the manifest")


def _check_references(path: Path, manifest: Manifest) -> None:
    for name in (manifest.text.tokenizer, *(graph.file for graph in manifest.graphs)):
        if name not in manifest.files:
            raise BundleError(f"{path / MANIFEST} names {name}, which is not among its files")
    heads = [head.name for head in manifest.heads]
    if not heads or len(set(heads)) != len(heads):
        raise BundleError(f"{path / MANIFEST}: heads need distinct names")
    features = [each.name for each in manifest.features]
    if len(set(features)) != len(features):
        raise BundleError(f"{path / MANIFEST}: features need distinct names")
    if features and manifest.kind != "split":
        raise BundleError(f"{path / MANIFEST}: only a split model reads features")
    if not set(manifest.default_blend) <= set(heads) or not sum(manifest.default_blend.values()) > 0:
        raise BundleError(f"{path / MANIFEST}: default_blend must weight some of the heads {', '.join(heads)}")


def _digest_line(raw: bytes) -> bytes:
    return f"{hashlib.sha256(raw).hexdigest()}  {MANIFEST}\n".encode()


def save_bundle(path: Path, manifest: Manifest, contents: Mapping[str, bytes], *, overwrite: bool = False) -> Bundle:
    """Write a bundle, whole or not at all, and load it again. Fills in `manifest.files`.

    Raises FileExistsError when the folder exists and `overwrite` is not set.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists")
    files = {n: FileEntry(sha256=hashlib.sha256(raw).hexdigest(), bytes=len(raw)) for n, raw in contents.items()}
    document = manifest.model_copy(update={"files": files}).model_dump_json(indent=2).encode() + b"\n"
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, raw in {**contents, MANIFEST: document, MANIFEST_DIGEST: _digest_line(document)}.items():
        _write_durably(partial / name, raw)
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)
    return Bundle.load(path)


def _write_durably(path: Path, raw: bytes) -> None:
    with path.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
