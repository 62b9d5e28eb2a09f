"""One cross-encoder in every server's format: a Hugging Face folder, and an fp32 bundle made from it.

Speed does not depend on the values of weights, so the default is a random checkpoint in the shape of MiniLM-L6. Needs
torch and transformers.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import Graph, KnownAnswer, Manifest, TextSpec
from models.heads import Calibration, Head
from models.template import FieldFormat, Template
from training.compression.onnx_export import PAIR_INPUTS, pair_graph, write_onnx


def draw_model(vocabulary: int, *, layers: int, seed: int = 0) -> BertForSequenceClassification:
    """A BERT cross-encoder with one label, hidden size 384, and weights from `seed`."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=384, num_hidden_layers=layers, num_attention_heads=12,
        intermediate_size=1536,
    )  # fmt: skip
    config.num_labels = 1
    model = BertForSequenceClassification(config)
    # Spread the scores: otherwise even different models would agree.
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    return model


def write_checkpoint(
    folder: Path, model: BertForSequenceClassification, tokenizer_json: bytes, *, max_tokens: int
) -> Path:
    """A Hugging Face folder with the fp32 graph; all servers truncate at the same `max_tokens`."""
    model.save_pretrained(folder)
    tokenizer = Tokenizer.from_str(tokenizer_json.decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")}
    words = {"tokenizer_class": "BertTokenizerFast", "model_max_length": max_tokens, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(words, indent=2), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2), encoding="utf-8")
    export_fp32(folder, folder / "model.onnx")
    return folder


def random_checkpoint(folder: Path, tokenizer_json: bytes, *, layers: int, max_tokens: int, seed: int) -> Path:
    """A checkpoint with weights from `seed`."""
    vocabulary = Tokenizer.from_str(tokenizer_json.decode()).get_vocab_size()
    model = draw_model(vocabulary, layers=layers, seed=seed)
    return write_checkpoint(folder, model, tokenizer_json, max_tokens=max_tokens)


def copied(folder: Path, checkpoint: Path, *, max_tokens: int) -> Path:
    """A given checkpoint in the same format."""
    model = BertForSequenceClassification.from_pretrained(checkpoint)
    if model.config.num_labels != 1:
        raise ValueError(f"{checkpoint}: needs a cross-encoder with one label, has {model.config.num_labels}")
    return write_checkpoint(folder, model, (checkpoint / "tokenizer.json").read_bytes(), max_tokens=max_tokens)


def export_fp32(checkpoint: Path, file: Path) -> None:
    """Write the checkpoint as one ONNX graph: int64 [pairs, tokens] to logits float32 [pairs, 1]."""
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="eager").float().eval()
    write_onnx(pair_graph(_Logits(model)), file)


class _Logits(torch.nn.Module):
    """Returns only the logits."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids, attention_mask, token_type_ids).logits
        return logits


def bundle_of(checkpoint: Path, folder: Path, *, member_tokens: int, candidate_tokens: int) -> Bundle:
    """The fp32 bundle of a checkpoint, with the head `relevance`."""
    graph = Graph(file="model.onnx", precision="fp32", device="cpu", tolerance=1e-3)
    fields = (FieldFormat(name="text"),)
    text = TextSpec(
        tokenizer="tokenizer.json", member_tokens=member_tokens, candidate_tokens=candidate_tokens,
        layout="pair", template=Template(member=fields, candidate=fields),
    )  # fmt: skip
    contents = {name: (checkpoint / name).read_bytes() for name in ("model.onnx", "tokenizer.json")}
    manifest = Manifest(
        format=1, kind="cross", name="peers", version="1", policy=None,
        created=datetime.now(UTC).isoformat(timespec="seconds"), licence="Apache-2.0", attributions=(),
        score_meaning="none: for speed only", text=text,
        heads=(Head(name="relevance", meaning="none", calibration=Calibration()),),
        default_blend={"relevance": 1.0},
        graphs=(graph,), known_answers=(known_answer(checkpoint),), training={}, figures={}, files={},
    )  # fmt: skip
    return save_bundle(folder, manifest, contents, overwrite=True)


def known_answer(checkpoint: Path) -> KnownAnswer:
    """Torch's answer for one pair."""
    member, candidate = "senior data engineer", "data engineer with python and spark"
    encoded: Any = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    one = encoded.encode(member, candidate)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).float().eval()
    feeds = zip(PAIR_INPUTS, (one.ids, one.attention_mask, one.type_ids), strict=True)
    with torch.no_grad():
        logits = model(**{name: torch.tensor([ids]) for name, ids in feeds}).logits
    return KnownAnswer(member=member, candidate=candidate, probabilities=(float(torch.sigmoid(logits)[0, 0]),))
