"""A flat cross-encoder in torch: from any Hugging Face encoder, or cut from a deeper one.

Knows no data and no losses.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Module, ModuleList
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from models.text import Pair, TextEncoder
from training.data import CandidateList


def load_cross_encoder(name: str, num_heads: int) -> PreTrainedModel:
    """Load any encoder with one output per head, on the GPU where there is one.

    A missing classifier starts small, the rest keeps what it knew. Dropout is off: the runs are about one
    epoch long, so there is nothing to overfit, and the CPU is spared the random numbers.
    """
    config = AutoConfig.from_pretrained(name, num_labels=num_heads)
    for dropout in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
        if hasattr(config, dropout):
            setattr(config, dropout, 0.0)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        name, config=config, dtype=torch.float32, attn_implementation="eager"
    )
    Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")
    return model


def keep_layers(teacher: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A student that starts as some layers of its teacher, with its embeddings, pooler and heads (as in DistilBERT)."""
    student = copy.deepcopy(teacher)
    encoder: Any = student.base_model.encoder
    encoder.layer = ModuleList(encoder.layer[index] for index in layers)
    student.config.num_hidden_layers = len(layers)
    return student


def read_tokenizer(name: str) -> str:
    """The tokenizer.json of a local model folder, as text."""
    return (Path(name) / "tokenizer.json").read_text(encoding="utf-8")


@torch.inference_mode()
def predict(
    model: PreTrainedModel, encoder: TextEncoder, pairs: Sequence[Pair], *, batch_tokens: int = 8192
) -> np.ndarray:
    """Logits f32[len(pairs), H], in the order given; runs in batches of like length so that little is padded."""
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index]), reverse=True)
    out = np.zeros((len(pairs), int(model.config.num_labels or 1)), dtype=np.float32)
    start = 0
    with tqdm(total=len(pairs), desc="predict", mininterval=5, leave=False) as progress:
        while start < len(order):
            chosen = order[start : start + max(1, batch_tokens // len(pairs[order[start]]))]
            arrays = encoder.collate([pairs[index] for index in chosen])
            inputs = {key: torch.from_numpy(array).to(device) for key, array in arrays.items()}
            with torch.autocast(device.type, dtype=torch.bfloat16):
                out[chosen] = model(**inputs).logits.float().cpu().numpy()
            start += len(chosen)
            progress.update(len(chosen))
    return out


def encode_lists(encoder: TextEncoder, lists: Sequence[CandidateList]) -> list[Pair]:
    """All pairs of all lists, in order; a member is tokenised once."""
    ids = iter(encoder.candidates([text for each in lists for text in each.candidates]))
    members = [encoder.member(each.member) for each in lists]
    return [Pair(member, next(ids)) for member, each in zip(members, lists, strict=True) for _ in each.candidates]


def predict_lists(model: PreTrainedModel, encoder: TextEncoder, lists: Sequence[CandidateList]) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order."""
    return predict(model, encoder, encode_lists(encoder, lists))
