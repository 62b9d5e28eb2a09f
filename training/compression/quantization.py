"""Quantization of an fp32 ONNX graph to int8: integer matrix products with a scale per row, embeddings in bytes.

onnxruntime's dynamic quantization uses one scale for a whole batch, so a text's logits depend on the other texts. Here
every row (a token) has its own scale, and a score does not depend on its batch. Weights have a scale per column and 7
bits: x86 processors without VNNI add two 8-bit products in 16 bits, which 8-bit weights can overflow. Knows no models.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

WEIGHT_LEVELS = 63
ACTIVATION_LEVELS = 127
ZERO_POINT = 128
TABLE_ROWS = 256
"""A table with at least this many rows is quantized as an embedding."""


def write_int8(fp32: Path, path: Path) -> None:
    """Quantize every product with a constant matrix and every large embedding table; the rest stays in fp32."""
    model = onnx.load(fp32)
    quantized = helper.make_model(
        _Quantizer(model.graph).graph(), opset_imports=model.opset_import, ir_version=model.ir_version
    )
    onnx.checker.check_model(quantized)
    onnx.save(quantized, path)


class _Quantizer:
    """Rewrites one graph. An activation that several products read is quantized once."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {each.name: each for each in graph.initializer}
        self._rows: dict[str, tuple[str, str]] = {}
        self._add("q_levels", np.float32(ACTIVATION_LEVELS))
        self._add("q_least", np.float32(1e-12))
        self._add("q_zero", np.float32(ZERO_POINT))
        self._add("q_zero_point", np.uint8(ZERO_POINT))
        self._add("q_last_axis", np.array([-1], dtype=np.int64))

    def graph(self) -> onnx.GraphProto:
        """The graph with integer products. The exporter's shape notes no longer hold and are left out."""
        old = self._graph
        nodes = [made for node in old.node for made in self._replaced(node)]
        used = {name for node in nodes for name in node.input} | {each.name for each in old.output}
        kept = [each for name, each in self._constants.items() if name in used]
        return helper.make_graph(nodes, old.name, old.input, old.output, kept)

    def _replaced(self, node: NodeProto) -> Iterator[NodeProto]:
        if node.op_type == "MatMul" and self._is_matrix(node.input[1]):
            yield from self._product(node, self._matrix(node.input[1]), bias=None)
        elif node.op_type == "Gemm" and self._is_matrix(node.input[1]) and not _attribute(node, "transA"):
            weights = self._matrix(node.input[1])
            weights = weights.T if _attribute(node, "transB") else weights
            yield from self._product(node, weights, bias=node.input[2] if len(node.input) > 2 else None)
        elif node.op_type == "Gather" and self._is_matrix(node.input[0], TABLE_ROWS):
            yield from self._lookup(node)
        else:
            yield node

    def _is_matrix(self, name: str, least_rows: int = 1) -> bool:
        found = self._constants.get(name)
        if found is None or found.data_type != TensorProto.FLOAT or len(found.dims) != 2:
            return False
        return bool(found.dims[0] >= least_rows)

    def _matrix(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._constants[name])

    def _product(self, node: NodeProto, weights: np.ndarray, bias: str | None) -> Iterator[NodeProto]:
        source, target = node.input[0], node.output[0]
        scales = np.maximum(np.abs(weights).max(axis=0), 1e-12).astype(np.float32) / WEIGHT_LEVELS
        self._add(f"{target}_weights", np.round(weights / scales).astype(np.int8))
        self._add(f"{target}_scales", scales)
        if source not in self._rows:
            yield from self._quantize_rows(source)
        rows, row_scales = self._rows[source]
        yield helper.make_node("MatMulInteger", [rows, f"{target}_weights", "q_zero_point"], [f"{target}_whole"])
        yield helper.make_node("Cast", [f"{target}_whole"], [f"{target}_sum"], to=TensorProto.FLOAT)
        yield helper.make_node("Mul", [f"{target}_sum", f"{target}_scales"], [f"{target}_by_column"])
        scaled = target if bias is None else f"{target}_scaled"
        yield helper.make_node("Mul", [f"{target}_by_column", row_scales], [scaled])
        if bias is not None:
            yield helper.make_node("Add", [scaled, bias], [target])

    def _quantize_rows(self, source: str) -> Iterator[NodeProto]:
        """u8 rows round(x / scale) + 128 with scale = max |x| / 127, for each row of the last axis."""
        names = {part: f"{source}_q_{part}" for part in "size largest safe scale ratio round moved rows".split()}
        self._rows[source] = (names["rows"], names["scale"])
        yield helper.make_node("Abs", [source], [names["size"]])
        yield helper.make_node("ReduceMax", [names["size"], "q_last_axis"], [names["largest"]], keepdims=1)
        yield helper.make_node("Max", [names["largest"], "q_least"], [names["safe"]])
        yield helper.make_node("Div", [names["safe"], "q_levels"], [names["scale"]])
        yield helper.make_node("Div", [source, names["scale"]], [names["ratio"]])
        yield helper.make_node("Round", [names["ratio"]], [names["round"]])
        yield helper.make_node("Add", [names["round"], "q_zero"], [names["moved"]])
        yield helper.make_node("Cast", [names["moved"]], [names["rows"]], to=TensorProto.UINT8)

    def _lookup(self, node: NodeProto) -> Iterator[NodeProto]:
        table, target = self._matrix(node.input[0]), node.output[0]
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12).astype(np.float32) / ACTIVATION_LEVELS
        self._add(f"{target}_table", np.round(table / scales).astype(np.int8))
        self._add(f"{target}_scales", scales)
        yield helper.make_node("Gather", [f"{target}_table", node.input[1]], [f"{target}_rows"], axis=0)
        yield helper.make_node("Gather", [f"{target}_scales", node.input[1]], [f"{target}_row_scales"], axis=0)
        yield helper.make_node("Cast", [f"{target}_rows"], [f"{target}_plain"], to=TensorProto.FLOAT)
        yield helper.make_node("Mul", [f"{target}_plain", f"{target}_row_scales"], [target])

    def _add(self, name: str, value: np.ndarray | np.generic) -> None:
        self._constants[name] = numpy_helper.from_array(np.asarray(value), name)


def _attribute(node: NodeProto, name: str) -> int:
    return next((each.i for each in node.attribute if each.name == name), 0)
