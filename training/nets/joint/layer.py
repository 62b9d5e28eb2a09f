"""One layer of the split student's joint part, in torch. Knows no texts.

N texts, M members, C candidates of a member, T tokens, D width, P pooled slots, A attention heads of width K.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig


class JointLayer(nn.Module):
    """An encoder layer for two kinds of tokens: member tokens attend to each other, and slots attend to their member
    and to the slots of their own candidate.

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
        """Keys and values of these tokens: [N, 2, A, T, K]."""
        return torch.stack([self._by_head(self.key(states_NTD)), self._by_head(self.value(states_NTD))], dim=1)

    def self_attend(self, states_MTD: Tensor, bias_MT: Tensor) -> Tensor:
        """Member tokens through the layer: they attend to each other and to no candidate."""
        keys, values = self.keys_values(states_MTD).unbind(1)
        queries = self._by_head(self.query(states_MTD)) * self._scale
        weights = torch.softmax(queries @ keys.transpose(-1, -2) + bias_MT[:, None, None], dim=-1)
        return self._finish(states_MTD, (weights @ values).transpose(1, 2).flatten(2))

    def forward(self, slots_MCPD: Tensor, keys_values: Tensor, bias_MT: Tensor) -> Tensor:
        """Slots through the layer, with the member's `keys_values` [M, 2, A, T, K]."""
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


def copied_layer(layer_of_encoder: nn.Module, config: PretrainedConfig, feed_forward: int | None) -> JointLayer:
    """A joint layer with the weights of an encoder layer; `feed_forward` keeps only that many first units."""
    source: Any = layer_of_encoder
    units = feed_forward or config.intermediate_size
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
