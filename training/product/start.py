"""The encoder that a product starts from: a Hugging Face folder, or the fp16 encoder that a bundle carries.

Needs no network. Knows no settings but the path.
"""

from __future__ import annotations

from pathlib import Path

from models.bundle.files import MANIFEST, Bundle
from models.errors import BundleError
from training.data.source_files import SourceFiles
from training.errors import UserError

GRAPH = "encoder.fp16.onnx"
BUNDLES = Path(__file__).parents[2] / "models"
"""The shipped bundles are beside the code."""


def shipped_bundle() -> Path:
    """The first bundle beside the code that carries an fp16 encoder. Raises UserError where there is none."""
    found = sorted(BUNDLES.glob(f"*-v*/{GRAPH}"))
    if not found:
        raise UserError("no bundle here carries an fp16 encoder: name a Hugging Face folder or a bundle in `encoder`")
    return found[0].parent


def start_encoder(encoder: str, data: SourceFiles, folder: Path) -> str:
    """A Hugging Face folder to train from; a bundle's encoder is written to `folder`. Raises UserError, DataError."""
    path = data.path(encoder or str(shipped_bundle()))
    if (path / MANIFEST).exists():
        from training.compression.bundle_encoder import write_bundle_encoder  # it imports torch

        return write_bundle_encoder(path, folder)
    for name in ("config.json", "tokenizer.json"):
        if not (path / name).exists():
            raise UserError(f"{path} has no {name}: `encoder` must name a bundle or a folder as transformers saves it")
    return str(path)


def start_attributions(encoder: Path) -> tuple[str, ...]:
    """What a model that starts from this bundle must state. Raises UserError for a damaged bundle."""
    if not (encoder / MANIFEST).exists():
        return ()
    try:
        return Bundle.load(encoder).manifest.attributions
    except BundleError as error:
        raise UserError(str(error)) from None


def start_tokenizer(encoder: str, folder: Path) -> str:
    """The tokenizer.json of the start encoder; `encoder` as in `product.toml` of this folder. Raises UserError."""
    path = folder / encoder if encoder else shipped_bundle()
    try:
        return (path / "tokenizer.json").read_text(encoding="utf-8")
    except OSError:
        raise UserError(f"{path} has no tokenizer.json: `encoder` must name a bundle or a model's folder") from None
