"""Poison graphs: sound bundles whose graph fails, hangs or swallows memory for one word; onnxruntime's own errors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import onnx
from onnx import TensorProto, helper

from models.bundle.files import save_bundle
from tests.support.bundles import SPECIALS, WORDS, graph_bytes, known_answers, manifest, tokenizer_json

Poison = Literal["gather", "loop", "memory", "nan"]
# The word at which a poison graph fails; no known answer has it.
WORD = "ward"
WORD_ID = len(SPECIALS) + WORDS.index(WORD)
FOREVER = 1 << 62


def write_poison_bundle(path: Path, poison: Poison) -> Path:
    """The tiny bundle, verified and warm like any other, until a text has the word."""
    contents = {"tiny.onnx": poison_graph(poison), "tokenizer.json": tokenizer_json().encode()}
    save_bundle(path, manifest(known_answers=known_answers()), contents)
    return path


def poison_graph(poison: Poison) -> bytes:
    """The tiny graph with a second path that counts the word in the batch and adds nothing to the scores."""
    model = onnx.load_model_from_string(graph_bytes())
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["sound" if name == "logits" else name for name in node.output]
    ints = [("word", WORD_ID), ("forever", FOREVER), ("wide", 1 << 40), ("first", 0)]
    for name, value in ints:
        graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [], [value]))
    graph.initializer.append(helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]))
    graph.initializer.append(helper.make_tensor("flat", TensorProto.INT64, [1], [-1]))
    graph.node.extend(
        [
            helper.make_node("Equal", ["input_ids", "word"], ["is_word"]),
            helper.make_node("Cast", ["is_word"], ["as_int"], to=TensorProto.INT64),
            helper.make_node("ReduceMax", ["as_int"], ["found"], keepdims=0),
            *_path(poison),
            helper.make_node("Add", ["sound", "nothing"], ["logits"]),
        ]
    )
    return bytes(model.SerializeToString())


def _path(poison: Poison) -> list[onnx.NodeProto]:
    """Nodes from `found` (0 or 1) to `nothing` (0.0); a NaN stays in its own row, as those of real models do."""
    if poison == "gather":
        return [
            helper.make_node("Reshape", ["zero", "flat"], ["one_row"]),
            helper.make_node("Mul", ["found", "wide"], ["beyond"]),
            helper.make_node("Gather", ["one_row", "beyond"], ["nothing"]),
        ]
    if poison == "nan":
        return [
            helper.make_node("ReduceMax", ["as_int", "tokens"], ["in_row"]),
            helper.make_node("Cast", ["in_row"], ["amount"], to=TensorProto.FLOAT),
            helper.make_node("Neg", ["amount"], ["below"]),
            helper.make_node("Sqrt", ["below"], ["root"]),
            helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        ]
    if poison == "memory":
        return [
            helper.make_node("Mul", ["found", "wide"], ["many"]),
            helper.make_node("Reshape", ["many", "flat"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["room"]),
            helper.make_node("ReduceSum", ["room"], ["nothing"], keepdims=0),
        ]
    return [
        helper.make_node("Mul", ["found", "forever"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "", "zero"], ["nothing"], body=_round()),
    ]


def _round() -> onnx.GraphProto:
    nodes = [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Neg", ["state"], ["next"])]
    inputs = [
        helper.make_tensor_value_info("round", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, []),
    ]
    outputs = [
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
    ]
    return helper.make_graph(nodes, "round", inputs, outputs)
