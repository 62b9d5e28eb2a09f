"""TensorRT builds the graphs that are meant for it and refuses others; skipped without TensorRT-RTX."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from models.bundle.files import Bundle
from models.runtime.buckets import Profile
from tests.support.bundles import write_tiny_bundle
from tests.support.split_bundles import write_split_bundle
from training.compression.tensorrt_check import NOT_CHECKED, build, check_bundle, main

BUNDLE = Path(__file__).parents[3] / "models" / "jobs-v1"


@pytest.fixture
def tensorrt() -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is proprietary: the extra trt-check installs it")


def attention_graph() -> bytes:
    """Opset 23 in fp32: its composite Attention has no kernel of its own there."""
    dims: list[str | int | None] = ["n", 2, "t", 8]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in ("query", "key", "value")]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, dims)
    node = helper.make_node("Attention", ["query", "key", "value"], ["output"])
    graph = helper.make_graph([node], "attention", inputs, [output])
    opset = helper.make_opsetid("", 23)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString())


@pytest.mark.usefixtures("tensorrt")
def test_every_graph_of_a_split_model_is_built_for_its_profile(tmp_path: Path) -> None:
    verdicts = check_bundle(write_split_bundle(tmp_path / "b"))
    assert sorted(verdicts) == ["candidate.onnx (candidate)", "member.onnx (member)", "score.onnx (score)"]
    assert {verdict.refusal for verdict in verdicts.values()} == {""}
    assert all(verdict.engine_bytes > 0 for verdict in verdicts.values())


@pytest.mark.usefixtures("tensorrt")
def test_an_int8_graph_for_cpus_is_refused() -> None:
    graph = Bundle.load(BUNDLE).contents["encoder.int8.onnx"]
    shapes = dict.fromkeys(("input_ids", "attention_mask"), (1, 32))
    verdict = build(graph, Profile(shapes, shapes, shapes))
    assert "UINT8" in verdict.refusal
    assert verdict.engine_bytes == 0


@pytest.mark.usefixtures("tensorrt")
def test_a_composite_operator_of_opset_23_is_refused() -> None:
    shapes = dict.fromkeys(("query", "key", "value"), (1, 2, 16, 8))
    assert build(attention_graph(), Profile(shapes, shapes, shapes)).refusal


@pytest.mark.usefixtures("tensorrt")
def test_an_invalid_profile_is_refused(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "b")
    shapes = {"input_ids": (2, 16), "attention_mask": (2, 16), "token_type_ids": (2, 16)}
    upside_down = Profile(shapes, shapes, {name: (1, 8) for name in shapes})
    assert build(bundle.contents["tiny.onnx"], upside_down).refusal


def test_without_tensorrt_the_check_reports_not_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    write_tiny_bundle(tmp_path / "b")
    assert main([str(tmp_path / "b")]) == NOT_CHECKED
    assert capsys.readouterr().out.startswith("not checked: TensorRT-RTX is not installed")
