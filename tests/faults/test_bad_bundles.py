"""More than twenty kinds of bad bundle: the service refuses each with a sentence and keeps the live model."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.errors import BundleError
from tests.support.bundles import graph_bytes, write_tiny_bundle
from tests.support.fakes import load_tiny
from tests.support.service import Running, Serve

GRAPH, MANIFEST, TOKENIZER = "tiny.onnx", "manifest.json", "tokenizer.json"
Spoil = Callable[[Path], object]


def edit(change: Callable[[dict[str, object]], object]) -> Spoil:
    """Change what the manifest says."""

    def spoil(path: Path) -> None:
        said = json.loads((path / MANIFEST).read_text())
        change(said)
        (path / MANIFEST).write_text(json.dumps(said))

    return spoil


def regraph(make: Callable[[], bytes]) -> Spoil:
    """Another graph, and a manifest that vouches for it: only running it, or reading it, tells."""

    def spoil(path: Path) -> None:
        shutil.rmtree(path)
        version = "2"
        write_tiny_bundle(path, version=version)
        raw = make()
        (path / GRAPH).write_bytes(raw)
        said = json.loads((path / MANIFEST).read_text())
        said["files"][GRAPH] = hashlib.sha256(raw).hexdigest()
        (path / MANIFEST).write_text(json.dumps(said))

    return spoil


def model(change: Callable[[onnx.ModelProto], object]) -> Callable[[], bytes]:
    def make() -> bytes:
        proto = onnx.load_model_from_string(graph_bytes())
        change(proto)
        return bytes(proto.SerializeToString())

    return make


def nan_weights(proto: onnx.ModelProto) -> None:
    table = next(each for each in proto.graph.initializer if each.name == "table")
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) * float("nan"), "table"))


def external(proto: onnx.ModelProto) -> None:
    table = next(each for each in proto.graph.initializer if each.name == "table")
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    table.external_data.append(onnx.StringStringEntryProto(key="location", value="../../../etc/passwd"))


def unknown_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Summon", ["logits"], ["demon"], domain="evil"))


def other_output(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].name = "count"


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


KINDS: dict[str, Spoil] = {
    "no folder": shutil.rmtree,
    "no manifest": lambda path: (path / MANIFEST).unlink(),
    "an empty manifest": lambda path: (path / MANIFEST).write_bytes(b""),
    "a manifest that is no JSON": lambda path: (path / MANIFEST).write_bytes(b"{"),
    "a manifest of another format": edit(lambda said: said.update(format=99)),
    "a manifest with a field too many": edit(lambda said: said.update(extra=1)),
    "a manifest that names a file outside": edit(lambda said: said["files"].update({"../x": "0" * 64})),  # type: ignore[attr-defined]
    "no graph": lambda path: (path / GRAPH).unlink(),
    "an empty graph": lambda path: (path / GRAPH).write_bytes(b""),
    "half a graph": lambda path: os.truncate(path / GRAPH, (path / GRAPH).stat().st_size // 2),
    "one flipped bit in the graph": lambda path: flip(path / GRAPH),
    "one flipped bit in the tokenizer": lambda path: flip(path / TOKENIZER),
    "a graph with a byte more": lambda path: (path / GRAPH).write_bytes((path / GRAPH).read_bytes() + b"\0"),
    "a folder in the graph's place": lambda path: replaced(path / GRAPH, Path.mkdir),
    "no tokenizer": lambda path: (path / TOKENIZER).unlink(),
    "the wrong hash": edit(lambda said: said["files"].update({GRAPH: "0" * 64})),  # type: ignore[attr-defined]
    "other known answers": edit(lambda said: said["known_answers"][0].update(probabilities=[0.1, 0.1])),  # type: ignore[index]
    "a vouched-for graph that is no ONNX": regraph(lambda: b"\x80\x04not a graph"),
    "a vouched-for graph of other weights": regraph(lambda: graph_bytes(seed=1)),
    "a vouched-for graph of three heads": regraph(lambda: graph_bytes(num_heads=3)),
    "a vouched-for graph with NaN weights": regraph(model(nan_weights)),
    "a vouched-for graph with data elsewhere": regraph(model(external)),
    "a vouched-for graph with an unknown operator": regraph(model(unknown_operator)),
    "a vouched-for graph without its output": regraph(model(other_output)),
}


def spoilt(folder: Path, kind: str) -> Path:
    path = folder / "tiny-v2"
    write_tiny_bundle(path, version="2")
    KINDS[kind](path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_refused_with_a_sentence(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BundleError) as raised:
        load_tiny(spoilt(tmp_path, kind))
    assert str(raised.value)


def test_the_bundle_without_a_defect_loads(tmp_path: Path) -> None:
    """The negative control: the bundle loads before it is damaged."""
    write_tiny_bundle(tmp_path / "tiny-v2", version="2")
    assert load_tiny(tmp_path / "tiny-v2").version == "2"


def test_the_live_model_stays_when_a_bad_bundle_is_activated(serve: Serve, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny-v1")
    running: Running = serve(bundle=tmp_path / "tiny-v1")
    before = running.score().json()
    for kind in KINDS:
        path = spoilt(tmp_path, kind)
        answer = running.client.post("/v1/models/2:activate")
        assert answer.status_code in (404, 409), kind
        shutil.rmtree(path, ignore_errors=True)
        assert running.score().json() == before
