"""The split student in torch: a two-tower encoder with a late-interaction scorer.

The member is encoded once, each candidate is compressed once, and a small joint part runs per pair. Member tokens never
attend to a candidate, so a member's keys and values are computed once, exactly. A candidate's tokens become a few slots
before they meet any member. Knows no data, no losses.

N texts, M members, C candidates of a member, T tokens, D width, P pooled slots (S = P + 1 with the embedding),
L joint layers, A attention heads of width K, H heads (outputs).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.features import NO_FEATURES, Features
from models.text import Pair, TextEncoder
from training.files import complete, read_json, write_json
from training.nets.cross_encoder import NEVER, SCALE, CrossEncoder, new_cross_encoder, pool
from training.nets.inference import to_tensors
from training.nets.item_scorer import ItemScorer
from training.nets.items import Encoding
from training.nets.joint.feature_part import FeaturePart, load_feature_part
from training.nets.joint.layer import JointLayer, copied_layer
from training.nets.joint.pooling import new_pooling
from training.nets.shapes import SplitShape


class JointScorer(nn.Module):
    """What is computed per pair, and what it needs from a member and from a candidate.

        logit_h = SCALE * sum_d weight_hd * u_d * v_d + bias_h + readout_h(slots after the joint layers, u * v)

    u and v are the embeddings of the two sides. The readout starts at zero, so that training starts from the cosine.
    """

    def __init__(self, layers: nn.ModuleList, weight_HD: Tensor, bias_H: Tensor, shape: SplitShape) -> None:
        super().__init__()
        num_heads, width = weight_HD.shape
        self.layers = layers
        self.weight = nn.Parameter(weight_HD.detach().clone())
        self.bias = nn.Parameter(bias_H.detach().clone())
        if layers:
            self.pooling = new_pooling(shape.pooling, shape.pooled, width)
            last = nn.Linear(width // 2, num_heads)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.readout = nn.Sequential(nn.Linear(2 * width, width // 2), nn.GELU(), last)

    @property
    def joint_layers(self) -> list[JointLayer]:
        return [cast(JointLayer, layer) for layer in self.layers]

    def slots(self, encoding: Encoding, mask_NT: Tensor) -> Tensor:
        """Slots of candidates [N, S, D], S = 1 + P: the embedding, then the pooled tokens."""
        vector_N1D = encoding.vector.to(encoding.states.dtype).unsqueeze(1)
        if not self.layers:
            return vector_N1D
        return torch.cat([vector_N1D, self.pooling(encoding.states, mask_NT)], dim=1)

    def member(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """What is no token of members: their embedding [M, D]."""
        del mask_MT
        return encoding.vector.to(encoding.states.dtype)

    def keys_values(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """Keys and values of members for the joint layers: [M, L, 2, A, T, K]."""
        states_MTD = encoding.states
        bias_MT = _key_bias(mask_MT, states_MTD.dtype)
        found = []
        for index, layer in enumerate(self.joint_layers):
            found.append(layer.keys_values(states_MTD))
            if index + 1 < len(self.joint_layers):
                states_MTD = layer.self_attend(states_MTD, bias_MT)
        return torch.stack(found, dim=1)

    def forward(self, vector_MD: Tensor, slots_MCSD: Tensor, keys_values: Tensor | None, mask_MT: Tensor) -> Tensor:
        """Logits [M, C, H]; slot 0 of a candidate is its embedding."""
        cosine_MCH = self.cosine(vector_MD, slots_MCSD)
        if keys_values is None:
            return cosine_MCH
        bias_MT = _key_bias(mask_MT, slots_MCSD.dtype)
        slots_MCPD = slots_MCSD[:, :, 1:]
        for index, layer in enumerate(self.joint_layers):
            slots_MCPD = layer(slots_MCPD, keys_values[:, index], bias_MT)
        agreement_MCD = SCALE * vector_MD.unsqueeze(1) * slots_MCSD[:, :, 0]
        joint_MCH: Tensor = self.readout(torch.cat([slots_MCPD.mean(2), agreement_MCD], dim=-1))
        return cosine_MCH + joint_MCH

    def cosine(self, vector_MD: Tensor, slots_MCSD: Tensor) -> Tensor:
        """Logits [M, C, H] of the embeddings alone, equal to the teacher's while it reads both sides apart."""
        # Not a matrix product, and in fp32: cosines are close.
        product_MCD = vector_MD.unsqueeze(1).float() * slots_MCSD[:, :, 0].float()
        return SCALE * (product_MCD.unsqueeze(-2) * self.weight.float()).sum(-1) + self.bias.float()


class SplitStudent(nn.Module):
    """An encoder that reads each side alone, the joint scorer, and what features add to its logits, if it reads any."""

    def __init__(
        self,
        backbone: PreTrainedModel,
        scorer: JointScorer | ItemScorer,
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
        """Size of a stored candidate: i8 with slots of items, else f16."""
        if isinstance(self.scorer, ItemScorer):
            return sum(self.scorer.rows) * self.scorer.slot.out_features
        return 2 * (self.shape.pooled + 1) * int(self.backbone.config.hidden_size)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Encoding:
        """Texts i64[N, T] of either side."""
        out = self.backbone(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        vector = pool(out.last_hidden_state, attention_mask)
        if isinstance(self.scorer, ItemScorer):
            middle = out.hidden_states[2 * self.backbone.config.num_hidden_layers // 3]
            states = torch.cat([middle, out.last_hidden_state], dim=-1)
            return Encoding(vector, states, self.scorer.items(input_ids, attention_mask))
        return Encoding(vector, out.hidden_states[-1 - self.shape.depth])

    def slots(self, encoding: Encoding, mask_NT: Tensor) -> Tensor:
        """Slots of candidates: [N, S, D]."""
        found: Tensor = self.scorer.slots(encoding, mask_NT)
        return found

    def member(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """What is no token of members: [M, X]."""
        found: Tensor = self.scorer.member(encoding, mask_MT)
        return found

    def keys_values(self, encoding: Encoding, mask_MT: Tensor) -> Tensor | None:
        """Keys and values of members; None without joint layers."""
        return self.scorer.keys_values(encoding, mask_MT) if self.shape.joint_layers else None

    @property
    def head_layers(self) -> list[nn.Module]:
        """Modules with one row of weight and bias per head, the one that weighs the embeddings first."""
        return [self.scorer, self.scorer.readout[-1]] if self.shape.joint_layers else [self.scorer]

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
        """The same student with the encoder of `other`, which came from `apart`; the joint part stays as it is."""
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


def new_split_student(teacher: CrossEncoder, shape: SplitShape, separators: Sequence[int] = ()) -> SplitStudent:
    """Initialize from a teacher that reads both sides apart: its encoder, its weights of the cosine, and copies of its
    last layers as the joint layers. Slots of items are divided at the token ids `separators`.
    """
    backbone: Any = copy.deepcopy(teacher.backbone)
    if shape.width is not None:
        items = ItemScorer(teacher.weight.float(), teacher.bias.float(), shape.pooled, shape.width, separators)
        return SplitStudent(backbone, items, shape)
    config = backbone.config
    first = config.num_hidden_layers - shape.joint_layers
    layers = [copied_layer(each, config, shape.feed_forward) for each in backbone.encoder.layer[first:]]
    scorer = JointScorer(nn.ModuleList(layers), teacher.weight.float(), teacher.bias.float(), shape)
    return SplitStudent(backbone, scorer, shape)


def _key_bias(mask_NT: Tensor, dtype: torch.dtype) -> Tensor:
    return (1 - mask_NT.to(dtype)) * NEVER
