"""The split student in torch: a two-tower encoder, and a scorer that compares what is kept of both sides.

The member is encoded once, each candidate is encoded once, and a small scorer runs per pair: a dot product of
embeddings, or late interaction of items (`item_scorer`). Knows no data, no losses.

N texts, M members, C candidates of a member, T tokens, D width, S rows of a candidate's state, H heads (outputs).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.features import NO_FEATURES, Features
from models.text import Pair, TextEncoder
from training.files import complete, read_json, write_json
from training.nets.cross_encoder import SCALE, CrossEncoder, new_cross_encoder, pool
from training.nets.feature_part import FeaturePart, load_feature_part
from training.nets.inference import to_tensors
from training.nets.item_scorer import ItemScorer
from training.nets.items import Encoding
from training.nets.shapes import SplitShape


class DotScorer(nn.Module):
    """A weighted dot product of the embeddings u and v: logit_h = SCALE * sum_d weight_hd * u_d * v_d + bias_h."""

    def __init__(self, weight_HD: Tensor, bias_H: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_HD.detach().clone())
        self.bias = nn.Parameter(bias_H.detach().clone())

    def slots(self, encoding: Encoding, mask_NT: Tensor) -> Tensor:
        """What is kept of candidates: their embedding, [N, 1, D]."""
        del mask_NT
        return encoding.vector.to(encoding.states.dtype).unsqueeze(1)

    def member(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """What is kept of members: their embedding, [M, D]."""
        del mask_MT
        return encoding.vector.to(encoding.states.dtype)

    def keys_values(self, encoding: Encoding, mask_MT: Tensor) -> None:
        """A member's tokens meet no candidate."""

    def forward(
        self, vector_MD: Tensor, slots_MC1D: Tensor, keys_values: Tensor | None = None, mask_MT: Tensor | None = None
    ) -> Tensor:
        """Logits [M, C, H]."""
        del keys_values, mask_MT
        # Not a matrix product, and in fp32: cosines are close.
        product_MCD = vector_MD.unsqueeze(1).float() * slots_MC1D[:, :, 0].float()
        return SCALE * (product_MCD.unsqueeze(-2) * self.weight.float()).sum(-1) + self.bias.float()


class SplitStudent(nn.Module):
    """An encoder that reads each side alone, the scorer, and what features add to its logits, if it reads any."""

    def __init__(
        self,
        backbone: PreTrainedModel,
        scorer: DotScorer | ItemScorer,
        shape: SplitShape,
        feature_part: FeaturePart | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.scorer: Any = scorer  # a protocol cannot say that both are torch modules too
        self.shape = shape
        self.feature_part = feature_part

    @property
    def num_heads(self) -> int:
        return len(self.scorer.bias)

    @property
    def features(self) -> Features:
        """The features that it reads."""
        return self.feature_part.declared if self.feature_part else NO_FEATURES

    @property
    def state_bytes(self) -> int:
        """Size of a stored candidate: i8 with slots of items, else an embedding in f16."""
        if isinstance(self.scorer, ItemScorer):
            return sum(self.scorer.rows) * self.scorer.slot.out_features
        return 2 * int(self.backbone.config.hidden_size)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Encoding:
        """Texts i64[N, T] of either side."""
        out = self.backbone(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        vector = pool(out.last_hidden_state, attention_mask)
        if isinstance(self.scorer, ItemScorer):
            middle = out.hidden_states[2 * self.backbone.config.num_hidden_layers // 3]
            states = torch.cat([middle, out.last_hidden_state], dim=-1)
            return Encoding(vector, states, self.scorer.items(input_ids, attention_mask))
        return Encoding(vector, out.last_hidden_state)

    def slots(self, encoding: Encoding, mask_NT: Tensor) -> Tensor:
        """States of candidates: [N, S, D]."""
        found: Tensor = self.scorer.slots(encoding, mask_NT)
        return found

    def member(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """What is kept of members beside keys and values: [M, X]."""
        found: Tensor = self.scorer.member(encoding, mask_MT)
        return found

    def keys_values(self, encoding: Encoding, mask_MT: Tensor) -> Tensor | None:
        """Keys and values of members; None for a dot product."""
        found: Tensor | None = self.scorer.keys_values(encoding, mask_MT)
        return found

    @property
    def head_layer(self) -> nn.Module:
        """The module with one row of weight and bias per head."""
        found: nn.Module = self.scorer
        return found

    @torch.inference_mode()
    def reference_logits(self, encoder: TextEncoder, pairs: Sequence[Pair]) -> np.ndarray:
        """Logits f32[N, H] of one batch without autocast, to compare exported graphs with."""
        device = self.scorer.bias.device
        members = to_tensors(encoder.collate_sides([pair.member for pair in pairs]), device)
        candidates = to_tensors(encoder.collate_sides([pair.candidate for pair in pairs]), device)
        encoding, mask = self.encode(**members), members["attention_mask"]
        slots = self.slots(self.encode(**candidates), candidates["attention_mask"]).unsqueeze(1)
        logits: Tensor = self.scorer(self.member(encoding, mask), slots, self.keys_values(encoding, mask), mask)
        if self.feature_part:
            defaults = self.features.defaults
            rows = [defaults if pair.features is None else pair.features for pair in pairs]
            logits = self.feature_part(logits, torch.from_numpy(np.stack(rows)).unsqueeze(1))
        return logits[:, 0].numpy()

    def apart(self) -> CrossEncoder:
        """A copy as a cross-encoder that reads both sides apart: the encoder and the weights of the cosine."""
        model = CrossEncoder(copy.deepcopy(self.backbone), self.num_heads)
        model.load_state_dict({"weight": self.scorer.weight, "bias": self.scorer.bias}, strict=False)
        return model

    def with_encoder_of(self, other: CrossEncoder) -> SplitStudent:
        """The same student with the encoder of `other`, which came from `apart`; the scorer stays as it is."""
        scorer, feature_part = copy.deepcopy((self.scorer, self.feature_part))
        return SplitStudent(other.backbone, scorer, self.shape, feature_part).eval()

    def save(self, folder: Path, *, is_main: bool = True) -> None:
        """Write the backbone as a Hugging Face folder, the scorer's weights and the shape."""
        if is_main:
            with complete(folder) as partial:
                self.backbone.save_pretrained(partial)
                save_file(self.scorer.state_dict(), partial / "scorer.safetensors")
                write_json(partial / "shape.json", dataclasses.asdict(self.shape))
                if self.feature_part:
                    self.feature_part.save(partial)


def load_split_student(folder: Path) -> SplitStudent:
    """Read back what `SplitStudent.save` wrote."""
    weights = load_file(folder / "scorer.safetensors")
    start = new_cross_encoder(str(folder), len(weights["bias"]))
    shape = SplitShape(**read_json(folder / "shape.json"))
    student = new_split_student(start, shape, weights.get("items.separators", torch.empty(0)).tolist())
    student.scorer.load_state_dict(weights)
    student.feature_part = load_feature_part(folder)
    return student


def new_split_student(start: CrossEncoder, shape: SplitShape, separators: Sequence[int] = ()) -> SplitStudent:
    """Initialize from a model that reads both sides apart: its encoder, and its weights of the cosine. Slots of items
    are divided at the token ids `separators`.
    """
    backbone, weight, bias = copy.deepcopy(start.backbone), start.weight.float(), start.bias.float()
    if shape.has_items:
        return SplitStudent(backbone, ItemScorer(weight, bias, shape.slots, shape.width, separators), shape)
    return SplitStudent(backbone, DotScorer(weight, bias), shape)
