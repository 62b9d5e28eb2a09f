"""An operation per requirement: each item of a candidate looks for its match in the member, then all are weighed.

    slot s of the candidate: its best matches among the member's items and tokens (`READERS` readers),
    a small network per slot compares what it asks with what it found,
    readout per pair: attention over slots, the worst and the best slot, the levels of both sides, the embeddings.

The member is read once and never sees a candidate, so a candidate's state can be stored. It is int8: rows of directions
and of levels, without scales. Attention starts as the cosine of items, and the logits as the cosine of embeddings.

N texts, M members, C candidates of a member, T tokens, D width, K width of a slot, P slots of items (S rows in all),
R readers, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.nets.cross_encoder import NEVER, SCALE
from training.nets.items import Encoding, Items, item_means, of_tokens

READERS = 2
"""One reads the member's items, one its tokens."""
SHARPNESS = 16.0
"""Initial factor of a cosine in the attention: the best match outweighs one that is .2 worse 25 times."""
GLANCES = 4
"""Ways in which the levels of a text are pooled from its tokens."""
QUESTIONS = 6
"""Ways in which the readout weighs the slots."""
LEVELS = 127.0


class Levels(nn.Module):
    """Rank, years and terms of a side as numbers in (-1, 1): [N, K]. Each side has its own."""

    def __init__(self, width: int, slot_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, GLANCES)
        self.value = nn.Linear(GLANCES * width, slot_width)
        nn.init.zeros_(self.query.weight)

    def forward(self, states_NTD: Tensor, mask_NT: Tensor) -> Tensor:
        """States [N, T, D] and mask i64[N, T] -> [N, K]."""
        never_NT1 = ((1 - mask_NT) * NEVER).unsqueeze(-1).to(states_NTD.dtype)
        weights_NTG = torch.softmax(self.query(states_NTD) + never_NT1, dim=1)
        pooled = (weights_NTG.transpose(1, 2) @ states_NTD).flatten(1)
        return torch.tanh(self.value(pooled))


class ItemScorer(nn.Module):
    """What is computed per pair, and what it needs from a member and from a candidate.

    logit_h = SCALE * (sum_d weight_hd * u_d * v_d + late_h * mean over slots of the best cosine) + bias_h + readout_h

    u and v are the embeddings. `late` and the readout start at zero.
    """

    def __init__(
        self, weight_HD: Tensor, bias_H: Tensor, pooled: int, slot_width: int, separators: Sequence[int]
    ) -> None:
        super().__init__()
        num_heads, width = weight_HD.shape
        if width % slot_width:
            raise ValueError(f"a slot of {slot_width} numbers does not divide an embedding of {width}")
        self.vector_rows = width // slot_width
        self.weight = nn.Parameter(weight_HD.detach().clone())
        self.bias = nn.Parameter(bias_H.detach().clone())
        self.late = nn.Parameter(torch.zeros(num_heads))
        self.items = Items(pooled, separators)
        self.slot = nn.Linear(width, slot_width)
        self.keys = nn.ModuleList(nn.Linear(width, slot_width) for _ in range(READERS))
        self.values = nn.ModuleList(nn.Linear(width, slot_width) for _ in range(READERS))
        self.sharpness = nn.Parameter(torch.full((READERS,), math.log(SHARPNESS)))
        self.member_levels, self.candidate_levels = Levels(width, slot_width), Levels(width, slot_width)
        self.compare = nn.Linear((1 + 2 * READERS) * slot_width + READERS, slot_width)
        self.refine = nn.Linear(slot_width, slot_width)
        self.norm = nn.LayerNorm(slot_width)
        self.question = nn.Linear(slot_width, QUESTIONS)
        inputs = (QUESTIONS + 2 + 4) * slot_width + width + READERS
        last = nn.Linear(256, num_heads)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.readout = nn.Sequential(nn.Linear(inputs, 256), nn.GELU(), last)

    @torch.no_grad()
    def start_from(self, states_ND: Tensor) -> None:
        """Project on the principal directions of these states, so that matching starts as their cosine."""
        mean_D = states_ND.mean(0)
        width = self.slot.out_features
        _, vectors = torch.linalg.eigh(torch.cov((states_ND - mean_D).T))  # in rising order
        directions_KD = vectors[:, -width:].flip(1).T
        for layer in (self.slot, *self.keys, *self.values):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(directions_KD)
            layer.bias.copy_(-directions_KD @ mean_D)

    def slots(self, encoding: Encoding, mask_NT: Tensor) -> Tensor:
        """The state of candidates, whole numbers from -127 to 127: [N, S, K]. Rows: embedding, levels, items."""
        means_NPD = item_means(encoding.states, encoding.is_in)
        is_used_NP1 = encoding.is_in.any(-1, keepdim=True)
        items_NPK = self.slot(means_NPD).float() * is_used_NP1
        levels_N1K = self.candidate_levels(encoding.states, mask_NT).float().unsqueeze(1)
        vector_N1D = encoding.vector.float().unsqueeze(1)
        rows = [_direction(vector_N1D).unflatten(-1, (self.vector_rows, -1)).flatten(1, 2), levels_N1K * LEVELS]
        return _whole(torch.cat([*rows, _direction(items_NPK)], dim=1))

    def member(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """What is no token of members: embedding and levels, [M, D + K]."""
        levels_MK = self.member_levels(encoding.states, mask_MT)
        return torch.cat([encoding.vector.to(levels_MK.dtype), levels_MK], dim=-1)

    def keys_values(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """Keys and values of members: [M, 1, 2, R, T, K]. The first reader's are of items, the second's of tokens."""
        del mask_MT
        of_items = of_tokens(item_means(encoding.states, encoding.is_in), encoding.is_in)
        read = (of_items, encoding.states)
        keys = [_unit(layer(states)) for layer, states in zip(self.keys, read, strict=True)]
        values = [_unit(layer(states)) for layer, states in zip(self.values, read, strict=True)]
        return torch.stack([torch.stack(keys, 1), torch.stack(values, 1)], dim=1).unsqueeze(1)

    def forward(self, member_MX: Tensor, slots_MCSK: Tensor, keys_values: Tensor | None, mask_MT: Tensor) -> Tensor:
        """Logits [M, C, H]."""
        assert keys_values is not None
        width, dtype = self.weight.shape[1], self.compare.weight.dtype
        rows = self.vector_rows
        vector_MCD = functional.normalize(slots_MCSK[:, :, :rows].float().flatten(2), dim=-1)
        levels_MCK = (slots_MCSK[:, :, rows].float() / LEVELS).to(dtype)
        asked_MCPK = slots_MCSK[:, :, rows + 1 :].float()
        is_used_MCP = asked_MCPK.abs().amax(-1) > 0
        asked_MCPK = functional.normalize(asked_MCPK, dim=-1, eps=1e-6).to(dtype)
        found_MCPK, best_MCPR = self._match(asked_MCPK, keys_values, mask_MT)
        weighed_MCX = self._weigh(found_MCPK, is_used_MCP)
        member_M1D, own_M1K = member_MX[:, None, :width].float(), member_MX[:, None, width:].to(dtype)
        own_MCK = own_M1K.expand_as(levels_MCK)
        product_MCD = member_M1D * vector_MCD
        count_MC1 = is_used_MCP.sum(-1, keepdim=True).clamp_min(1).to(dtype)
        mean_MCR = (best_MCPR * is_used_MCP.unsqueeze(-1).to(dtype)).sum(2) / count_MC1
        levels = (own_MCK, levels_MCK, own_MCK * levels_MCK, (own_MCK - levels_MCK).abs())
        joint_MCH = self.readout(torch.cat([weighed_MCX, *levels, SCALE * product_MCD.to(dtype), mean_MCR], dim=-1))
        # Not a matrix product, and in fp32: cosines are close.
        cosine_MCH = SCALE * (product_MCD.unsqueeze(-2) * self.weight.float()).sum(-1) + self.bias.float()
        late_MCH = SCALE * self.late.float() * mean_MCR.float().mean(-1, keepdim=True)
        logits_MCH: Tensor = cosine_MCH + late_MCH + joint_MCH.float()
        return logits_MCH

    def _match(self, asked_MCPK: Tensor, keys_values: Tensor, mask_MT: Tensor) -> tuple[Tensor, Tensor]:
        """What each slot found, compared with what it asked: [M, C, P, K]; and its best cosines: [M, C, P, R]."""
        members, candidates, pooled, slot_width = asked_MCPK.shape
        keys, values = keys_values[:, 0].unbind(1)  # [M, R, T, K]
        bias_M11T = ((1 - mask_MT) * NEVER)[:, None, None].to(asked_MCPK.dtype)
        folded = asked_MCPK.flatten(1, 2).unsqueeze(1)  # [M, 1, C * P, K]
        cosines = folded @ keys.transpose(-1, -2)  # [M, R, C * P, T]
        weights = torch.softmax(cosines * self.sharpness.exp().view(-1, 1, 1) + bias_M11T, dim=-1)
        best_MRX = (cosines + bias_M11T).amax(-1)
        read = (weights @ values).view(members, READERS, candidates, pooled, slot_width)
        best_MCPR = best_MRX.view(members, READERS, candidates, pooled).permute(0, 2, 3, 1)
        asked, scale = asked_MCPK * slot_width**0.5, slot_width**0.5
        parts = [asked, best_MCPR * 4]
        for reader in range(READERS):
            one = read[:, reader] * scale
            parts += [one, one * asked]
        compared = functional.gelu(self.compare(torch.cat(parts, dim=-1)))
        return self.norm(compared + self.refine(compared)), best_MCPR

    def _weigh(self, found_MCPK: Tensor, is_used_MCP: Tensor) -> Tensor:
        """Slots by attention of each question, the least and the greatest: [M, C, (QUESTIONS + 2) * K]."""
        never_MCP1 = (~is_used_MCP).unsqueeze(-1).to(found_MCPK.dtype) * NEVER
        weights_MCPQ = torch.softmax(self.question(found_MCPK) + never_MCP1, dim=2)
        weighed = (weights_MCPQ.transpose(2, 3) @ found_MCPK).flatten(2)
        least = (found_MCPK - never_MCP1).amin(2).clamp(-20, 20)  # clamped: a text may have no item
        greatest = (found_MCPK + never_MCP1).amax(2).clamp(-20, 20)
        return torch.cat([weighed, least, greatest], dim=-1)


def _unit(states: Tensor) -> Tensor:
    return functional.normalize(states.float(), dim=-1, eps=1e-6).to(states.dtype)


def _direction(rows: Tensor) -> Tensor:
    """Scaled to a largest size of 127; zeros stay zeros."""
    return rows * (LEVELS / rows.abs().amax(-1, keepdim=True).clamp_min(1e-6))


def _whole(rows: Tensor) -> Tensor:
    """Rounded; the gradient passes as if it were not (Bengio et al., arXiv 1308.3432)."""
    return rows + (rows.round() - rows).detach()
