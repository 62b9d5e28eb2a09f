"""A tiny bundle on disk for tests:
a real ONNX graph and a real tokenizer, whose scores depend on every token and its side.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import Graph, KnownAnswer, Manifest, TextSpec
from models.heads import Calibration, Head
from models.template import FieldFormat, Template
from models.text import Pair, TextEncoder

WORDS = "data engineer python spark chef pastry bake nurse ward senior junior platform hotel skills".split()
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEMPLATE = Template(
    member=(FieldFormat(name="headline"), FieldFormat(name="skills", label="skills")),
    candidate=(FieldFormat(name="title"), FieldFormat(name="description")),
)
HEADS = (
    Head(name="relevance", meaning="fits", calibration=Calibration(slope=2.0, intercept=-0.5)),
    Head(name="apply", meaning="applies"),
)


def tokenizer_json() -> str:
    """A WordPiece tokenizer over a few words and all letters."""
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {word: index for index, word in enumerate([*SPECIALS, *WORDS, *letters])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIALS)
    return str(tokenizer.to_str())


def graph_bytes(*, seed: int = 0, num_heads: int = 2, inputs: tuple[str, ...] = ()) -> bytes:
    """logits[n, h] = mean over real tokens of table[id] * (1 + type * 2):
    order within a side does not matter, sides do.
    """
    declared = inputs or ("input_ids", "attention_mask", "token_type_ids")
    table = np.random.default_rng(seed).normal(size=(200, num_heads)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
    ]
    weight = "mask3"
    if "token_type_ids" in declared:
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["types", "last"], ["types3"]),
            helper.make_node("Mul", ["types3", "two"], ["doubled"]),
            helper.make_node("Add", ["doubled", "mask3"], ["weight"]),
        ]
        weight = "weight"
    nodes += [
        helper.make_node("Mul", ["rows", weight], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "tokens"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask3", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["logits"]),
    ]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "tokens"),
        numpy_helper.from_array(np.array(2.0, dtype=np.float32), "two"),
    ]
    sides = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in declared]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", num_heads])
    graph = helper.make_graph(nodes, "tiny", sides, [out], initializer=constants)
    opset = helper.make_opsetid("", 20)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString())


def manifest(**changes: object) -> Manifest:
    """A manifest for the tiny graph; `changes` replace fields."""
    fields: dict[str, object] = {
        "format": 1,
        "kind": "cross",
        "name": "tiny",
        "version": "1",
        "policy": "tiny-policy@1",
        "created": "2026-01-01",
        "licence": "Apache-2.0",
        "attributions": (),
        "score_meaning": "probability",
        "text": TextSpec(
            tokenizer="tokenizer.json", member_tokens=16, candidate_tokens=16, layout="texts", template=TEMPLATE
        ),
        "heads": HEADS,
        "default_blend": {"relevance": 0.7, "apply": 0.3},
        "graphs": (Graph(file="tiny.onnx", precision="fp32", device="cpu", tolerance=1e-5),),
        "known_answers": known_answers(),
        "training": {},
        "figures": {},
        "files": {},
    }
    return Manifest.model_validate({**fields, **changes})


def known_answers(seed: int = 0) -> tuple[KnownAnswer, ...]:
    """What the tiny graph says, worked out here in numpy and not by the graph."""
    encoder = TextEncoder(tokenizer_json(), 16, 16)
    answers = []
    for member, candidate in (("data engineer python", "senior data engineer"), ("data engineer", "pastry chef")):
        pair = Pair(encoder.member(member), encoder.candidates([candidate])[0])
        logits = expected_logits(encoder, pair, seed)
        probabilities = tuple(float(h.calibration.apply(x)) for h, x in zip(HEADS, logits, strict=True))
        answers.append(KnownAnswer(member=member, candidate=candidate, probabilities=probabilities))
    return tuple(answers)


def expected_logits(encoder: TextEncoder, pair: Pair, seed: int = 0) -> np.ndarray:
    """The tiny graph's formula in numpy, for one pair."""
    table = np.random.default_rng(seed).normal(size=(200, 2)).astype(np.float32)
    arrays = encoder.collate([pair])
    weights = (1 + 2 * arrays["token_type_ids"][0])[:, None]
    return np.asarray((table[arrays["input_ids"][0]] * weights).mean(axis=0))


def write_tiny_bundle(path: Path, *, seed: int = 0, **changes: object) -> Bundle:
    """Save the tiny bundle."""
    described = manifest(**{"known_answers": known_answers(seed), **changes})
    contents = {"tiny.onnx": graph_bytes(seed=seed), "tokenizer.json": tokenizer_json().encode()}
    return save_bundle(path, described, contents)


def flip_a_bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
