"""A bundle loads as it was saved, or is rejected with a sentence that names the fault."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models.bundle.files import MANIFEST, MANIFEST_DIGEST, Bundle, _digest_line, save_bundle
from models.errors import BundleError
from tests.support.bundles import graph_bytes, manifest, write_tiny_bundle

PRICE = {"name": "price", "unit": "EUR", "low": 0, "high": 9, "default": 1}
FILES = ("manifest.json", "manifest.sha256", "tiny.onnx", "tokenizer.json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "tiny-v1")
    return tmp_path / "tiny-v1"


def rewrite_manifest(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the manifest and its digest, as an attacker could."""
    document = json.loads((path / MANIFEST).read_text())
    change(document)
    raw = json.dumps(document).encode()
    (path / MANIFEST).write_bytes(raw)
    (path / MANIFEST_DIGEST).write_bytes(_digest_line(raw))


def test_reading_a_bundle_imports_neither_onnxruntime_nor_numpy() -> None:
    heavy = {"onnxruntime", "numpy", "tokenizers", "cryptography"}
    program = f"import sys, models.bundle.files; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_saved_bundle_loads_equal(tmp_path: Path) -> None:
    saved = write_tiny_bundle(tmp_path / "b")
    assert Bundle.load(tmp_path / "b") == saved
    assert saved.contents["tiny.onnx"] == graph_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 0.99])
def test_a_flipped_bit_is_rejected_with_the_file_name(path: Path, name: str, place: float) -> None:
    raw = bytearray((path / name).read_bytes())
    raw[int(place * len(raw))] ^= 1
    (path / name).write_bytes(raw)
    with pytest.raises(BundleError, match=name.replace("manifest.sha256", "manifest")):
        Bundle.load(path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(path)


@pytest.mark.parametrize("name", ["tiny.onnx", "tokenizer.json"])
def test_a_truncated_file_is_named_with_both_sizes(path: Path, name: str) -> None:
    raw = (path / name).read_bytes()
    (path / name).write_bytes(raw[:-1])
    with pytest.raises(BundleError, match=rf"{name} has {len(raw) - 1} bytes, the manifest states {len(raw)}"):
        Bundle.load(path)


def test_an_unlisted_file_is_rejected(path: Path) -> None:
    (path / "extra.bin").write_bytes(b"?")
    with pytest.raises(BundleError, match=r"extra\.bin is not listed"):
        Bundle.load(path)


def test_a_symbolic_link_is_rejected(path: Path, tmp_path: Path) -> None:
    shutil.move(path / "tiny.onnx", tmp_path / "elsewhere.onnx")
    (path / "tiny.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match=r"tiny\.onnx is a symbolic link"):
        Bundle.load(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere is not a bundle"):
        Bundle.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(colour="red"), r"manifest\.json: colour: Extra inputs are not permitted"),
        (lambda m: m["text"].update(extra=1), r"manifest\.json: text\.extra: Extra inputs"),
        (lambda m: m.pop("heads"), r"manifest\.json: heads: Field required"),
        (lambda m: m.update(format=2), r"manifest\.json: format: "),
        (lambda m: m.update(heads=[]), "heads need distinct names"),
        (
            lambda m: m.update(default_blend={"click": 1}),
            "default_blend must weight some of the heads relevance",
        ),
        (lambda m: m["text"].update(tokenizer="other.json"), r"names other\.json, which is not among its files"),
        (lambda m: m.update(features=[PRICE]), "only a split model reads features"),
        (lambda m: m.update(features=[PRICE, PRICE]), "features need distinct names"),
        (lambda m: m.update(features=[{**PRICE, "low": 9}]), r"manifest\.json: features\.0: .*low must be below high"),
        (lambda m: m["files"].update({"../x": m["files"]["tiny.onnx"]}), r"files\.\.\./x is not a plain file name"),
    ],
    ids=[
        "unknown field",
        "unknown field inside",
        "missing field",
        "format",
        "no heads",
        "blend",
        "tokenizer",
        "cross",
        "names",
        "range",
        "path",
    ],
)
def test_an_inconsistent_manifest_is_rejected(
    path: Path, change: Callable[[dict[str, object]], object], sentence: str
) -> None:
    rewrite_manifest(path, change)
    with pytest.raises(BundleError, match=sentence):
        Bundle.load(path)


def test_saving_does_not_overwrite_by_default(path: Path) -> None:
    with pytest.raises(FileExistsError):
        save_bundle(path, manifest(), {})


def test_a_manifest_without_features_and_chunks_does_not_mention_them(path: Path) -> None:
    for name in (b"features", b"chunk"):
        assert name not in (path / MANIFEST).read_bytes()
