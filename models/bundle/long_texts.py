"""`chunks BUNDLE OUT`: a copy of a bundle that reads long candidates in chunks. The graphs and their weights stay."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import MAX_CHUNKS, Manifest
from models.errors import BundleError

CARD = "card.md"
CHUNKS, DISCOUNT = 8, 0.2
"""500 words of English are seven chunks of 128 tokens. The discount is that of `docs/scoring.md`, for `jobs-v1`."""


def copy_with_chunks(bundle: Path, out: Path, *, version: str, chunks: int, discount: float) -> Manifest:
    """Write the copy to a new folder `out`. Its stored slots are its own: no version reads those of another.

    Raises BundleError, or FileExistsError where `out` exists.
    """
    loaded = Bundle.load(bundle)
    if version == loaded.manifest.version:
        raise BundleError(f"{bundle} is version {version}: the copy needs a version of its own")
    fields = loaded.manifest.model_dump()
    text = {**fields["text"], "chunks": chunks}
    changed = {**fields, "version": version, "text": text, "chunk_discount": discount}
    try:
        manifest = Manifest.model_validate(changed)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{first['loc'][-1]}: {first['msg']}") from None
    contents = dict(loaded.contents)
    if CARD in contents:
        contents[CARD] = contents[CARD].rstrip() + _section(loaded.manifest, manifest).encode()
    return save_bundle(out, manifest, contents).manifest


def _section(before: Manifest, manifest: Manifest) -> str:
    tokens, chunks = manifest.text.candidate_tokens, manifest.text.chunks
    kept = "" if manifest.kind == "cross" else f" A stored candidate takes up to {chunks} times the bytes of slots."
    return (
        f"\n\n## Long texts\n\nThis is version {manifest.version}: version {before.version}, whose figures are above,"
        f" with long candidates read in up to {chunks} chunks of {tokens} tokens. The best chunk scores a candidate;"
        f" its odds are divided by the number of chunks to the power of {manifest.chunk_discount:g}.{kept}\n"
    )


def chunks(arguments: Sequence[str]) -> str:
    """Write a copy and say what it is. Raises what `copy_with_chunks` raises."""
    parser = argparse.ArgumentParser(prog="python -m models chunks", description=__doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle's folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write, beside the bundle to activate it")
    parser.add_argument("--version", required=True, help="of the copy")
    parser.add_argument("--chunks", type=int, default=CHUNKS, help=f"2 to {MAX_CHUNKS} (default: {CHUNKS})")
    parser.add_argument("--discount", type=float, default=DISCOUNT, help=f"0 to 4 (default: {DISCOUNT})")
    options = parser.parse_args(arguments)
    if options.chunks < 2:
        raise BundleError("--chunks must be at least 2")
    if options.out.exists():
        raise BundleError(f"{options.out} exists: name a new folder")
    manifest = copy_with_chunks(
        options.bundle, options.out, version=options.version, chunks=options.chunks, discount=options.discount
    )
    return (
        f"{options.out}: {manifest.name} version {manifest.version} reads candidates in up to {options.chunks} chunks"
    )
