"""The split student in torch: the member read once, candidates compressed once, a cheap joint part per pair.

Member tokens never attend to a candidate, so that all of a member that the joint part reads (keys and values) is
computed once, exactly; a candidate's tokens become a few slots before they meet any member. Knows no data, no losses.

N texts, M members, C candidates of a member, T tokens, D width, P pooled slots (S = P + 1 with the embedding),
L joint layers, A attention heads of width K, H heads (outputs).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel

from training.nets.cross_encoder import NEVER, SCALE, CrossEncoder, pool
from training.nets.pooling import new_pooling
from training.nets.shapes import SplitShape


@dataclass(frozen=True)
class Reading:
    """Texts as the encoder read them: `vector` f32[N, D], normalised, and `states` f32[N, T, D] before its last
    `joint_layers` layers.
    """

    vector: Tensor
    states: Tensor


class JointLayer(nn.Module):
    """An encoder layer for two kinds of tokens: members' read each other, slots read their member and their own kind.

    Slots of all candidates are queries against one copy of the member's keys; nothing is copied per pair.
    """

    def __init__(self, width: int, num_attention_heads: int, feed_forward: int, eps: float) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, eps=eps)
        self.up, self.down = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.norm = nn.LayerNorm(width, eps=eps)

    def keys_values(self, states_NTD: Tensor) -> Tensor:
        """What others may read of these tokens: [N, 2, A, T, K]."""
        return torch.stack([self._by_head(self.key(states_NTD)), self._by_head(self.value(states_NTD))], dim=1)

    def read_themselves(self, states_MTD: Tensor, bias_MT: Tensor) -> Tensor:
        """Members' tokens through the layer: they see each other and no candidate."""
        keys, values = self.keys_values(states_MTD).unbind(1)
        queries = self._by_head(self.query(states_MTD)) * self._scale
        weights = torch.softmax(queries @ keys.transpose(-1, -2) + bias_MT[:, None, None], dim=-1)
        return self._finish(states_MTD, (weights @ values).transpose(1, 2).flatten(2))

    def forward(self, slots_MCPD: Tensor, keys_values: Tensor, bias_MT: Tensor) -> Tensor:
        """Slots through the layer, given the member's `keys_values` [M, 2, A, T, K]."""
        members, candidates, pooled, width = slots_MCPD.shape
        heads = self.num_attention_heads
        keys, values = keys_values.unbind(1)
        by_head = (members, candidates, pooled, heads, width // heads)
        queries = self.query(slots_MCPD).view(by_head) * self._scale
        own_keys, own_values = self.key(slots_MCPD).view(by_head), self.value(slots_MCPD).view(by_head)
        folded = queries.permute(0, 3, 1, 2, 4).flatten(2, 3)  # [M, A, C * P, K]
        to_member = folded @ keys.transpose(-1, -2) + bias_MT[:, None, None]
        own_queries = queries.transpose(2, 3)  # [M, C, A, P, K]
        to_own = own_queries @ own_keys.permute(0, 1, 3, 4, 2)  # [M, C, A, P, P]
        to_own = to_own.permute(0, 2, 1, 3, 4).flatten(2, 3)  # [M, A, C * P, P]
        weights = torch.softmax(torch.cat([to_member, to_own], dim=-1), dim=-1)
        length = keys.shape[-2]
        from_member = weights[..., :length] @ values  # [M, A, C * P, K]
        own_weights = weights[..., length:].view(members, heads, candidates, pooled, pooled).transpose(1, 2)
        from_own = own_weights @ own_values.transpose(2, 3)  # [M, C, A, P, K]
        read = from_member.view(members, heads, candidates, pooled, -1).permute(0, 2, 3, 1, 4)
        return self._finish(slots_MCPD, (read + from_own.transpose(2, 3)).flatten(3))

    @property
    def _scale(self) -> float:
        return float((self.query.out_features // self.num_attention_heads) ** -0.5)

    def _by_head(self, projected_NTD: Tensor) -> Tensor:
        by_head: Tensor = projected_NTD.unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)
        return by_head

    def _finish(self, states: Tensor, read: Tensor) -> Tensor:
        states = self.attended_norm(states + self.attended(read))
        finished: Tensor = self.norm(states + self.down(functional.gelu(self.up(states))))
        return finished


class JointScorer(nn.Module):
    """All that is computed per pair, and what it needs of a member and of a candidate.

        logit_h = SCALE * sum_d weight_hd * u_d * v_d + bias_h + readout_h(slots after the joint layers, u * v)

    u and v are the two sides' embeddings. The readout starts at zero, so that training begins with the cosine.
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
        """The layers, in order."""
        return [cast(JointLayer, layer) for layer in self.layers]

    def slots(self, reading: Reading, mask_NT: Tensor) -> Tensor:
        """What is kept of candidates, S = 1 + P slots: the embedding, then what is pooled of the tokens [N, S, D]."""
        vector_N1D = reading.vector.to(reading.states.dtype).unsqueeze(1)
        if not self.layers:
            return vector_N1D
        return torch.cat([vector_N1D, self.pooling(reading.states, mask_NT)], dim=1)

    def keys_values(self, states_MTD: Tensor, mask_MT: Tensor) -> Tensor:
        """What the joint layers read of members: [M, L, 2, A, T, K]."""
        bias_MT = _key_bias(mask_MT, states_MTD.dtype)
        found = []
        for index, layer in enumerate(self.joint_layers):
            found.append(layer.keys_values(states_MTD))
            if index + 1 < len(self.joint_layers):
                states_MTD = layer.read_themselves(states_MTD, bias_MT)
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
        """Logits [M, C, H] of the embeddings alone, as the teacher has them while it reads sides apart."""
        # Not a matrix product, and in fp32: cosines lie close together.
        product_MCD = vector_MD.unsqueeze(1).float() * slots_MCSD[:, :, 0].float()
        return SCALE * (product_MCD.unsqueeze(-2) * self.weight.float()).sum(-1) + self.bias.float()


class SplitStudent(nn.Module):
    """An encoder that reads both sides, each alone, and the joint scorer."""

    def __init__(self, backbone: PreTrainedModel, scorer: JointScorer, shape: SplitShape) -> None:
        super().__init__()
        self.backbone = backbone
        self.scorer = scorer
        self.shape = shape

    @property
    def num_heads(self) -> int:
        """Outputs of a pair."""
        return len(self.scorer.bias)

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Reading:
        """Texts i64[N, T], whichever side they are."""
        out = self.backbone(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        states = out.hidden_states[-1 - self.shape.depth]
        return Reading(pool(out.last_hidden_state, attention_mask), states)

    def slots(self, reading: Reading, mask_NT: Tensor) -> Tensor:
        """What is kept of candidates: [N, S, D]."""
        return self.scorer.slots(reading, mask_NT)

    def keys_values(self, reading: Reading, mask_MT: Tensor) -> Tensor | None:
        """What the scorer reads of members beside their embedding."""
        return self.scorer.keys_values(reading.states, mask_MT) if self.shape.joint_layers else None


def new_split_student(teacher: CrossEncoder, shape: SplitShape) -> SplitStudent:
    """Start from a teacher that reads sides apart: its encoder, its weights of the cosine, and its last layers as the
    joint ones (their feed-forward parts cut to the first units where the shape wants fewer).
    """
    backbone: Any = copy.deepcopy(teacher.backbone)
    config = backbone.config
    first = config.num_hidden_layers - shape.joint_layers
    layers = [_joint_layer(backbone.encoder.layer[first + i], config, shape) for i in range(shape.joint_layers)]
    scorer = JointScorer(nn.ModuleList(layers), teacher.weight.float(), teacher.bias.float(), shape)
    return SplitStudent(backbone, scorer, shape)


def _joint_layer(layer_of_encoder: nn.Module, config: PretrainedConfig, shape: SplitShape) -> JointLayer:
    source: Any = layer_of_encoder
    units = shape.feed_forward or config.intermediate_size
    layer = JointLayer(config.hidden_size, config.num_attention_heads, units, config.layer_norm_eps)
    attention, output = source.attention, source.output
    copies = {
        layer.query: attention.self.query,
        layer.key: attention.self.key,
        layer.value: attention.self.value,
        layer.attended: attention.output.dense,
        layer.attended_norm: attention.output.LayerNorm,
        layer.norm: output.LayerNorm,
    }
    for target, origin in copies.items():
        target.load_state_dict(origin.state_dict())
    with torch.no_grad():
        layer.up.weight.copy_(source.intermediate.dense.weight[:units])
        layer.up.bias.copy_(source.intermediate.dense.bias[:units])
        layer.down.weight.copy_(output.dense.weight[:, :units])
        layer.down.bias.copy_(output.dense.bias)
    return layer


def _key_bias(mask_NT: Tensor, dtype: torch.dtype) -> Tensor:
    return (1 - mask_NT.to(dtype)) * NEVER
