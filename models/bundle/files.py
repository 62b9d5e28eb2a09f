"""A bundle: the folder that training writes and the service loads. Save, load, and verify every byte.

    manifest.json     what the model is, with the sha256 and size of every other file
    manifest.sha256   the manifest's own digest, in the form of `sha256sum`
    manifest.sig      where it is signed, its signature (see `signature.py`)
    *.onnx  tokenizer.json  card.md

Every file is read once; what was hashed is what is loaded. Knows files, not how a graph runs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from models.bundle.manifest import PARTS, FileEntry, Graph, KnownAnswer, Manifest, Part, TextSpec
from models.bundle.signature import TrustedSigner
from models.errors import BundleError
from models.heads import Calibration, Head
from models.runtime.buckets import BatchLimits
from models.runtime.io_binding import open_runner
from models.runtime.providers import Way
from models.runtime.session import Device, Runner, resolve_device
from models.scorers.cross_encoder import CrossEncoderScorer
from models.scorers.interface import Scorer
from models.scorers.split import SplitScorer
from models.slots.codec import model_key
from models.text import Pair, TextEncoder

__all__ = [
    "Bundle",
    "Calibration",
    "FileEntry",
    "Graph",
    "Head",
    "KnownAnswer",
    "Manifest",
    "TextSpec",
    "save_bundle",
]

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
MANIFEST_SIGNATURE = "manifest.sig"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, held in memory."""

    path: Path
    manifest: Manifest
    contents: Mapping[str, bytes]

    @classmethod
    def load(cls, path: Path, signer: TrustedSigner | None = None) -> Bundle:
        """Read and verify a folder, which `signer`, where there is one, must have signed.

        Raises BundleError with a sentence that names the file or field at fault.
        """
        manifest = _read_manifest(path, signer)
        _refuse_unlisted(path, manifest)
        contents = {name: _read_verified(path / name, entry) for name, entry in manifest.files.items()}
        _check_references(path, manifest)
        return cls(path, manifest, contents)

    def encoder(self) -> TextEncoder:
        """The encoder that this model was trained with."""
        text = self.manifest.text
        try:
            tokenizer = self.contents[text.tokenizer].decode()
            return TextEncoder(tokenizer, text.member_tokens, text.candidate_tokens, layout=text.layout)
        except Exception as error:  # tokenizers raises bare Exception
            raise BundleError(f"{self.path / text.tokenizer} is not a usable tokenizer") from error

    def limits(self, most_pairs: int = 1024) -> BatchLimits:
        """What bounds this model's batches: its buckets and profiles come from it."""
        encoder = self.encoder()
        return BatchLimits(encoder.longest_member, encoder.longest_candidate, pairs=most_pairs)

    def graphs_for(self, device: Device) -> dict[Part, Graph]:
        """The graphs made for a device, by what they compute; a part made for the CPU alone serves both.

        Raises BundleError when a part that this kind of model needs is missing.
        """
        wanted = resolve_device(device)
        found: dict[Part, Graph] = {}
        for part in PARTS[self.manifest.kind]:
            graphs = [graph for graph in self.manifest.graphs if graph.part == part]
            chosen = next(
                (graph for graph in graphs if graph.device == wanted), graphs[0] if len(graphs) == 1 else None
            )
            if chosen is None:
                raise BundleError(f"{self.path / MANIFEST} lists no {part} graph for device {wanted!r}")
            found[part] = chosen
        return found

    def key_of(self, graph: Graph) -> bytes:
        """The same for two graphs only where they make the same of the same rendered text; see `slots.model_key`."""
        text = self.manifest.text
        handling = text.model_dump_json(exclude={"template"}).encode()
        return model_key(self.contents[graph.file], self.contents[text.tokenizer], handling)

    def open(
        self,
        device: Device = "auto",
        threads: int = 1,
        *,
        way: Way = "plain",
        most_pairs: int = 1024,
        engines: Path = Path("engines"),
    ) -> CrossEncoderScorer | SplitScorer:
        """Load the device's graphs, to be run in a way of `open_runner`; `most_pairs` is of its largest bucket.

        Raises DeviceError or BundleError.
        """
        limits = self.limits(most_pairs)

        def opened(part: Part, graph: Graph) -> Runner:
            raw, buckets = self.contents[graph.file], limits.buckets(part)
            try:
                return open_runner(
                    raw, device, threads, way=way, buckets=buckets, precision=graph.precision, engines=engines
                )
            except BundleError as error:
                raise BundleError(f"{self.path / graph.file}: {error}") from error

        graphs = self.graphs_for(device)
        runners: dict[str, Runner] = {}
        for part, graph in graphs.items():
            # Parts that share a file share its memory, unless each has shapes of its own.
            key = graph.file if way == "plain" else part
            runners[key] = runners.get(key) or opened(part, graph)
        sessions = {part: runners[graph.file if way == "plain" else part] for part, graph in graphs.items()}
        if self.manifest.kind == "cross":
            return CrossEncoderScorer(sessions["pair"], self.encoder(), self.manifest.heads)
        parts = (sessions["member"], sessions["candidate"], sessions["score"])
        return SplitScorer(*parts, self.encoder(), self.manifest.heads)

    def check_known_answers(self, scorer: Scorer, encoder: TextEncoder, graphs: Mapping[Part, Graph]) -> None:
        """Score the manifest's own pairs in one batch.

        Raises BundleError when an answer is off by more than the tolerance of the graphs that made it.
        """
        known = self.manifest.known_answers
        if not known:
            return
        candidates = encoder.candidates([each.candidate for each in known])
        pairs = [Pair(encoder.member(each.member), ids) for each, ids in zip(known, candidates, strict=True)]
        found = scorer.score(pairs)
        expected = np.array([each.probabilities for each in known])
        worst = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
        tolerance = max(graph.tolerance for graph in graphs.values())
        if not worst <= tolerance:
            files = ", ".join(str(self.path / graph.file) for graph in graphs.values())
            verb = "do not give their" if len(graphs) > 1 else "does not give its"
            raise BundleError(f"{files} {verb} known answers: off by {worst:.3g}, allowed {tolerance:.3g}")


def _read_manifest(path: Path, signer: TrustedSigner | None) -> Manifest:
    if not path.is_dir():
        raise BundleError(f"{path} is not a bundle: there is no such folder")
    raw = _read_plain(path / MANIFEST)
    stated = _read_plain(path / MANIFEST_DIGEST)
    if stated != _digest_line(raw):
        raise BundleError(f"{path / MANIFEST} is not what {MANIFEST_DIGEST} says it is: one of the two was changed")
    if signer is not None:
        name = path / MANIFEST_SIGNATURE
        signer.check(raw, _read_plain(name), name)
    try:
        return Manifest.model_validate_json(raw)
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
        raise BundleError(f"{path} has {len(raw)} bytes; the manifest says {entry.bytes}")
    if hashlib.sha256(raw).hexdigest() != entry.sha256:
        raise BundleError(f"{path} was changed: its sha256 is not the one in the manifest")
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
        raise BundleError(f"{path / MANIFEST}: heads must be named, each once")
    if not set(manifest.default_blend) <= set(heads) or not sum(manifest.default_blend.values()) > 0:
        raise BundleError(f"{path / MANIFEST}: default_blend must weigh some of the heads {', '.join(heads)}")


def _digest_line(raw: bytes) -> bytes:
    return f"{hashlib.sha256(raw).hexdigest()}  {MANIFEST}\n".encode()


def save_bundle(path: Path, manifest: Manifest, contents: Mapping[str, bytes], *, overwrite: bool = False) -> Bundle:
    """Write a bundle whole or not at all, and load it back. `manifest.files` is filled in here.

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
