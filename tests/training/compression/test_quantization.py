"""int8 graphs: close to fp32, and a row's outputs do not depend on its batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.runtime.session import Session
from training.compression.quantization import write_int8

WIDTH = 32


@pytest.fixture
def fp32(tmp_path: Path) -> Path:
    """rows = table[ids]; out = rows @ a + (rows @ b): two products of one activation."""
    random = np.random.default_rng(0)
    constants = {
        "table": random.normal(size=(300, WIDTH)),
        "a": random.normal(size=(WIDTH, WIDTH)),
        "b": random.normal(size=(WIDTH, WIDTH)),
        "scale": random.normal(size=(WIDTH,)),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "a"], ["first"]),
        helper.make_node("MatMul", ["rows", "b"], ["second"]),
        helper.make_node("Mul", ["second", "scale"], ["scaled"]),
        helper.make_node("Add", ["first", "scaled"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", "t", WIDTH])],
        initializer=[numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "fp32.onnx")
    return tmp_path / "fp32.onnx"


def run(path: Path, ids: np.ndarray) -> np.ndarray:
    return Session.open(path.read_bytes(), "cpu", 1).run({"ids": ids})


def change_with_batch(path: Path) -> float:
    """Change of the first row's outputs when a row of another magnitude joins its batch."""
    alone = np.array([[1, 2, 3]])
    together = np.array([[1, 2, 3], [297, 298, 299]])
    return float(np.abs(run(path, together)[0] - run(path, alone)[0]).max())


def test_int8_is_near_fp32(fp32: Path, tmp_path: Path) -> None:
    write_int8(fp32, tmp_path / "int8.onnx")
    ids = np.arange(60).reshape(3, 20)
    expected, found = run(fp32, ids), run(tmp_path / "int8.onnx", ids)
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999


def test_a_row_does_not_depend_on_its_batch(fp32: Path, tmp_path: Path) -> None:
    write_int8(fp32, tmp_path / "int8.onnx")
    assert change_with_batch(tmp_path / "int8.onnx") < 1e-6


def test_one_scale_per_batch_would_make_it_depend_on_its_batch(fp32: Path, tmp_path: Path) -> None:
    model = onnx.load(fp32)
    table = numpy_helper.to_array(model.graph.initializer[0]).copy()
    table[297:] *= 20
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))
    onnx.save(model, fp32)
    quantize_dynamic(fp32, tmp_path / "batch.onnx", ["MatMul"], weight_type=QuantType.QInt8, per_channel=True)
    write_int8(fp32, tmp_path / "int8.onnx")
    assert change_with_batch(tmp_path / "batch.onnx") > 1e-2
    assert change_with_batch(tmp_path / "int8.onnx") < 1e-6


def test_an_activation_that_two_products_read_is_quantized_once(fp32: Path, tmp_path: Path) -> None:
    write_int8(fp32, tmp_path / "int8.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert kinds.count("MatMulInteger") == 2
    assert kinds.count("Round") == 1


def test_embeddings_and_weights_take_one_byte_per_number(fp32: Path, tmp_path: Path) -> None:
    write_int8(fp32, tmp_path / "int8.onnx")
    constants = onnx.load(tmp_path / "int8.onnx").graph.initializer
    large = {each.data_type for each in constants if np.prod(each.dims) >= WIDTH * WIDTH}
    assert large == {TensorProto.INT8}
