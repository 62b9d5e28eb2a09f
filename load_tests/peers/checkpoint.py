"""One cross-encoder in every server's form: a Hugging Face folder, and the fp32 bundle made from it.

Speed does not depend on what weights mean, so without a trained checkpoint one is drawn from a seed, in the
shape of MiniLM-L6. Needs torch and transformers; only this file of the load tests does.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from models.bundle import Bundle, Calibration, Graph, Head, KnownAnswer, Manifest, TextSpec, save_bundle
from models.text import FieldFormat, Template
from training.graphs import INPUTS, write_onnx


def draw_checkpoint(
    folder: Path, tokenizer_json: bytes, *, layers: int, max_tokens: int, seed: int = 0
) -> Path:
    """Write a BERT cross-encoder with one label, hidden size 384, and weights from `seed`."""
    torch.manual_seed(seed)
    vocabulary = Tokenizer.from_str(tokenizer_json.decode()).get_vocab_size()
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=384, num_hidden_layers=layers, num_attention_heads=12,
        intermediate_size=1536,
    )  # fmt: skip
    config.num_labels = 1
    model = BertForSequenceClassification(config)
    # Spread the scores, or servers that compute different things would still agree.
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tokenizer_json)
    words = {"tokenizer_class": "BertTokenizerFast", "model_max_length": max_tokens, "do_lower_case": True}
    special = {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(words | special, indent=2))
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2))
    return folder


def export_fp32(checkpoint: Path, file: Path) -> bytes:
    """Write the checkpoint as one self-contained ONNX graph: int64 [pairs, tokens] in, logits float32 [pairs,
    1] out.
    """
    model = (
        AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="eager")
        .float()
        .eval()
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_onnx(model, file)
    return file.read_bytes()


def bundle_of(checkpoint: Path, folder: Path, *, member_tokens: int, candidate_tokens: int) -> Bundle:
    """The fp32 bundle of a checkpoint; its one head is called `relevance`."""
    graph = Graph(file="model.onnx", precision="fp32", device="cpu", tolerance=1e-3)
    fields = (FieldFormat(name="text"),)
    text = TextSpec(
        tokenizer="tokenizer.json", member_tokens=member_tokens, candidate_tokens=candidate_tokens,
        template=Template(member=fields, candidate=fields),
    )  # fmt: skip
    contents = {
        "model.onnx": export_fp32(checkpoint, checkpoint / "model.onnx"),
        "tokenizer.json": (checkpoint / "tokenizer.json").read_bytes(),
    }
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
    """What torch says of one pair."""
    member, candidate = "senior data engineer", "data engineer with python and spark"
    encoded: Any = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    encoded.no_padding()
    one = encoded.encode(member, candidate)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).float().eval()
    feeds = zip(INPUTS, (one.ids, one.attention_mask, one.type_ids), strict=True)
    with torch.no_grad():
        logits = model(**{name: torch.tensor([ids]) for name, ids in feeds}).logits
    return KnownAnswer(
        member=member, candidate=candidate, probabilities=(float(torch.sigmoid(logits)[0, 0]),)
    )
