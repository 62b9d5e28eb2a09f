"""A tiny split bundle on disk for tests: three real ONNX graphs whose scores depend on every token of both sides.

member     vector = mean of rows, keys and values = the rows
candidate  slots  = mean of rows, and half of it
score      logits = (slot 0 * vector + attention of slot 1 over the member's tokens) @ weight
           with features, + features @ FEATURE_WEIGHT
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import Graph, KnownAnswer
from models.features import Feature, Features
from models.text import TextEncoder, TokenIds
from tests.support.bundles import HEADS, manifest, tokenizer_json

WIDTH = 8
FEATURES = (
    Feature(name="price", unit="EUR", low=0, high=200, default=50),
    Feature(name="km", unit="km", low=0, high=100, default=0),
)
# The logits [features, heads] at the top of each range.
FEATURE_WEIGHT = np.array([[-2.0, 0.5], [1.0, -3.0]], np.float32)
GRAPHS = (
    Graph(file="member.onnx", part="member", precision="fp32", device="cpu", tolerance=1e-3),
    Graph(file="candidate.onnx", part="candidate", precision="fp32", device="cpu", tolerance=1e-3),
    Graph(file="score.onnx", part="score", precision="fp32", device="cpu", tolerance=1e-3),
)


def write_split_bundle(path: Path, *, seed: int = 0, **changes: object) -> Bundle:
    """Save the tiny split bundle; `changes` replace fields of its manifest. Features are the first of FEATURES."""
    features = changes.get("features", ())
    assert isinstance(features, tuple)
    answers = _known_answers(seed, Features(features))
    described = manifest(**{"kind": "split", "graphs": GRAPHS, "known_answers": answers, **changes})
    contents = {
        "member.onnx": _member(seed),
        "candidate.onnx": _candidate(seed),
        "score.onnx": _score(seed, len(features)),
        "tokenizer.json": tokenizer_json().encode(),
    }
    return save_bundle(path, described, contents)


def expected_logits(
    member: TokenIds, candidate: TokenIds, seed: int = 0, inputs: np.ndarray | None = None
) -> np.ndarray:
    """The three graphs' formula in numpy, for one pair: f32[heads]. `inputs` f32[features] are from 0 to 1."""
    table, weight = _weights(seed)
    tokens = table[member]
    mean = table[candidate].mean(axis=0)
    attention = np.exp(tokens @ (mean / 2))
    attended = (attention / attention.sum()) @ tokens
    of_features = 0 if inputs is None else inputs @ FEATURE_WEIGHT[: len(inputs)]
    return np.asarray((mean * tokens.mean(axis=0) + attended) @ weight + of_features)


def _weights(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    table = random.normal(size=(200, WIDTH)).astype(np.float32)
    return table, random.normal(size=(WIDTH, len(HEADS))).astype(np.float32)


def _known_answers(seed: int, features: Features) -> tuple[KnownAnswer, ...]:
    encoder = TextEncoder(tokenizer_json(), 16, 16)
    answers = []
    sent = {each.name: each.high for each in features.declared[:1]}
    for member, candidate in (("data engineer python", "senior data engineer"), ("data engineer", "pastry chef")):
        inputs = features.read([sent]).values[0]
        logits = expected_logits(encoder.member(member), encoder.candidates([candidate])[0], seed, inputs)
        probabilities = tuple(float(h.calibration.apply(x)) for h, x in zip(HEADS, logits, strict=True))
        answers.append(KnownAnswer(member=member, candidate=candidate, features=sent, probabilities=probabilities))
    return tuple(answers)


def _mean_nodes() -> list[NodeProto]:
    node = helper.make_node
    return [
        node("Gather", ["table", "input_ids"], ["rows"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask", "last"], ["mask3"]),
        node("Mul", ["rows", "mask3"], ["kept"]),
        node("ReduceSum", ["kept", "tokens"], ["total"], keepdims=0),
        node("ReduceSum", ["mask3", "tokens"], ["count"], keepdims=0),
        node("Div", ["total", "count"], ["mean"]),
    ]


def _ints(**values: list[int]) -> dict[str, np.ndarray]:
    return {name: np.array(value, dtype=np.int64) for name, value in values.items()}


def _member(seed: int) -> bytes:
    node = helper.make_node
    nodes = [
        *_mean_nodes(),
        node("Identity", ["mean"], ["vector"]),
        node("Unsqueeze", ["rows", "key_axes"], ["keys"]),  # [M, 1, 1, 1, T, d]
        node("Concat", ["keys", "keys"], ["keys_values"], axis=2),
    ]
    constants = {"table": _weights(seed)[0], **_ints(last=[2], tokens=[1], key_axes=[1, 2, 3])}
    outputs: dict[str, list[str | int]] = {"vector": ["m", WIDTH], "keys_values": ["m", 1, 2, 1, "t", WIDTH]}
    return _model(nodes, constants, {"input_ids": ["m", "t"], "attention_mask": ["m", "t"]}, {}, outputs)


def _candidate(seed: int) -> bytes:
    node = helper.make_node
    nodes = [
        *_mean_nodes(),
        node("Mul", ["mean", "half"], ["halved"]),
        node("Unsqueeze", ["mean", "tokens"], ["first"]),
        node("Unsqueeze", ["halved", "tokens"], ["second"]),
        node("Concat", ["first", "second"], ["slots"], axis=1),
    ]
    constants = {"table": _weights(seed)[0], "half": np.array(0.5, np.float32), **_ints(last=[2], tokens=[1])}
    outputs: dict[str, list[str | int]] = {"slots": ["n", 2, WIDTH]}
    return _model(nodes, constants, {"input_ids": ["n", "t"], "attention_mask": ["n", "t"]}, {}, outputs)


def _score(seed: int, num_features: int) -> bytes:
    node = helper.make_node
    nodes = [
        node("Gather", ["slots", "zero"], ["first"], axis=2),  # [M, C, d]
        node("Gather", ["slots", "one"], ["query"], axis=2),
        node("Gather", ["keys_values", "zero"], ["all_keys"], axis=2),  # [M, 1, 1, T, d]
        node("Squeeze", ["all_keys", "inner"], ["keys"]),  # [M, T, d]
        node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["query", "turned"], ["fit"]),  # [M, C, T]
        node("Cast", ["member_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Sub", ["mask", "unit"], ["off"]),
        node("Mul", ["off", "never"], ["bias"]),
        node("Unsqueeze", ["bias", "places"], ["bias3"]),
        node("Add", ["fit", "bias3"], ["masked"]),
        node("Softmax", ["masked"], ["attention"], axis=-1),
        node("MatMul", ["attention", "keys"], ["attended"]),
        node("Unsqueeze", ["vector", "places"], ["vector3"]),
        node("Mul", ["first", "vector3"], ["product"]),
        node("Add", ["product", "attended"], ["joined"]),
        node("MatMul", ["joined", "weight"], ["of_texts" if num_features else "logits"]),
    ]
    if num_features:
        nodes += [
            node("MatMul", ["features", "feature_weight"], ["of_features"]),
            node("Add", ["of_texts", "of_features"], ["logits"]),
        ]
    constants = {
        "weight": _weights(seed)[1],
        "unit": np.array(1, np.float32),
        "never": np.array(1e4, np.float32),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        **_ints(inner=[1, 2], places=[1]),
        **({"feature_weight": FEATURE_WEIGHT[:num_features]} if num_features else {}),
    }
    floats: dict[str, list[str | int]] = {
        "keys_values": ["m", 1, 2, 1, "t", WIDTH],
        "vector": ["m", WIDTH],
        "slots": ["m", "c", 2, WIDTH],
        **({"features": ["m", "c", num_features]} if num_features else {}),
    }
    return _model(nodes, constants, {"member_mask": ["m", "t"]}, floats, {"logits": ["m", "c", len(HEADS)]})


def _model(
    nodes: list[NodeProto],
    constants: dict[str, np.ndarray],
    integers: dict[str, list[str]],
    floats: dict[str, list[str | int]],
    outputs: dict[str, list[str | int]],
) -> bytes:
    info = helper.make_tensor_value_info
    inputs = [info(name, TensorProto.INT64, shape) for name, shape in integers.items()]
    inputs += [info(name, TensorProto.FLOAT, shape) for name, shape in floats.items()]
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        initializer=[numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())
