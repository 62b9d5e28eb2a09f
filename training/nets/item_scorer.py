"""An operation per requirement: each item of a candidate looks for its match in the member, then all are weighed.

    items      each slot reads its best matches among the member's items and tokens; a small network compares what it
               asks with what it found, and each question weighs the slots
    pools      each question reads each side by its own attention, and compares the two readings and their levels
    readout    of each of the first heads from a question of its own, beside the cosine of the embeddings

The member is read once and never sees a candidate, so a candidate's state can be stored. It is int8: directions of the
embedding and of items, and pools in (-1, 1), without scales. Attention starts as the cosine of items, and the first
head near a part of the cosine of embeddings.

N texts, M members, C candidates of a member, T tokens, D width, E width of the states (two layers), K width of a slot,
P slots of items (S rows in all), R readers, Q questions, V numbers of a question's pools, H heads, G steps of a grade.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.nets.cross_encoder import NEVER, SCALE
from training.nets.items import Encoding, Items, item_means, of_tokens
from training.policy.policy import GRADES, Policy, every_overall

READERS = 2
"""One reads the member's items, one its tokens."""
SHARPNESS = 16.0
"""Initial factor of a cosine in the attention: the best match outweighs one that is .2 worse 25 times."""
QUESTIONS = 6
POOLS, POOLED = 4, 64
"""A question pools a text in so many ways, into so many numbers each."""
LEVELS = 16
"""Numbers of a question that are compared by their difference: rank, years, terms."""
EVIDENCE = 32
HIDDEN = 128
LARGEST = 127.0
DROPOUT = 0.1
COSINE_SHARE = 0.3
"""Of the logits that a cosine would have, at the start: a full one drowns what a pair's level and terms say."""
STEPS = len(GRADES) - 1
"""A head has a logit for each grade from 1, of being at least that: one logit of the mean does not learn level."""


class Pools(nn.Module):
    """Reads one side for each question: [N, Q, V], numbers in (-1, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = min(width, 192)
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, inner)
        self.side = nn.Parameter(torch.randn(2, inner) * 0.02)
        self.query = nn.Linear(inner, QUESTIONS * POOLS, bias=False)
        self.value = nn.Linear(inner, POOLED)
        self.even = nn.LayerNorm(POOLS * POOLED)  # pools of many tokens are small beside what slots found
        self.drop = nn.Dropout(DROPOUT)
        nn.init.normal_(self.query.weight, std=0.05)

    def forward(self, states_NTE: Tensor, mask_NT: Tensor, side: int) -> Tensor:
        """States [N, T, E] and mask i64[N, T] of members (side 0) or candidates (side 1)."""
        inner_NTI = self.drop(self.down(self.norm(states_NTE))) + self.side[side]
        never_NT1 = ((1 - mask_NT) * NEVER).unsqueeze(-1).to(inner_NTI.dtype)
        weights_NTX = torch.softmax(self.query(inner_NTI) + never_NT1, dim=1)
        pooled_NXV = weights_NTX.transpose(1, 2) @ self.value(inner_NTI)
        pools_NQV: Tensor = torch.tanh(self.even(pooled_NXV.unflatten(1, (QUESTIONS, POOLS)).flatten(2)))
        return pools_NQV


class Readout(nn.Module):
    """Logits of the steps of each head, from the answers of all questions.

    Each of the first heads reads a question of its own: what another head asks drowns level and terms. Further heads
    (actions, whether a question can be answered) read all questions.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        own = min(num_heads, QUESTIONS)
        self.drop = nn.Dropout(DROPOUT)
        self.own = nn.ModuleList(nn.Linear(HIDDEN, STEPS) for _ in range(own))
        self.further = nn.Linear(QUESTIONS * HIDDEN, (num_heads - own) * STEPS) if num_heads > own else None
        for layer in (*self.own, self.further):
            if layer is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, answers_NQX: Tensor) -> Tensor:
        """Answers [..., Q, HIDDEN] -> logits [..., H * G]."""
        found = self.drop(functional.gelu(answers_NQX))
        logits = [layer(found[..., question, :]) for question, layer in enumerate(self.own)]
        if self.further is not None:
            logits.append(self.further(found.flatten(-2)))
        return torch.cat(logits, dim=-1)


class ItemScorer(nn.Module):
    """What is computed per pair, and what it needs from a member and from a candidate.

    logit_hg = SCALE * (sum_d weight_hd * u_d * v_d + late_h * mean over slots of the best cosine) + bias_h + readout_hg

    g is a grade's step; u and v are the embeddings. `late` starts at zero.
    """

    def __init__(
        self, weight_HD: Tensor, bias_H: Tensor, pooled: int, slot_width: int, separators: Sequence[int]
    ) -> None:
        super().__init__()
        num_heads, width = weight_HD.shape
        numbers = QUESTIONS * POOLS * POOLED
        if width % slot_width or numbers % slot_width:
            raise ValueError(
                f"rows of {slot_width} numbers do not divide an embedding of {width} and pools of {numbers}"
            )
        self.rows = (width // slot_width, numbers // slot_width, pooled)
        self.weight = nn.Parameter(weight_HD.detach().clone())
        self.bias = nn.Parameter(bias_H.detach().clone())
        self.late = nn.Parameter(torch.zeros(num_heads))
        self.items = Items(pooled, separators)
        self.slot = nn.Linear(width, slot_width)
        self.keys = nn.ModuleList(nn.Linear(width, slot_width) for _ in range(READERS))
        self.values = nn.ModuleList(nn.Linear(width, slot_width) for _ in range(READERS))
        self.sharpness = nn.Parameter(torch.full((READERS,), math.log(SHARPNESS)))
        self.compare = nn.Linear((1 + 2 * READERS) * slot_width + READERS, slot_width)
        self.norm = nn.LayerNorm(slot_width)
        self.question = nn.Linear(slot_width, QUESTIONS)
        self.evidence = nn.Linear(slot_width, EVIDENCE)
        self.pools = Pools(2 * width)
        self.level = nn.Linear(POOLS * POOLED, LEVELS)
        inputs = 4 * POOLS * POOLED + 2 * LEVELS + slot_width + 2 * EVIDENCE + READERS
        self.answers = nn.ModuleList(nn.Linear(inputs, HIDDEN) for _ in range(QUESTIONS))
        self.readout = Readout(num_heads)

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
        """The state of candidates, whole numbers from -127 to 127: [N, S, K]. Rows: embedding, pools, items."""
        width = self.slot.in_features
        means_NPD = item_means(encoding.states[..., -width:], encoding.is_in)
        is_used_NP1 = encoding.is_in.any(-1, keepdim=True)
        items_NPK = self.slot(means_NPD).float() * is_used_NP1
        pools_NQV = self.pools(encoding.states, mask_NT, 1).float()
        parts = (_direction(encoding.vector.float()), pools_NQV.flatten(1) * LARGEST, _direction(items_NPK).flatten(1))
        return _whole(torch.cat(parts, dim=-1).unflatten(-1, (sum(self.rows), -1)))

    def member(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """What is no token of members: embedding and pools, [M, D + Q * V]."""
        pools_MQV = self.pools(encoding.states, mask_MT, 0)
        return torch.cat([encoding.vector.to(pools_MQV.dtype), pools_MQV.flatten(1)], dim=-1)

    def keys_values(self, encoding: Encoding, mask_MT: Tensor) -> Tensor:
        """Keys and values of members: [M, 1, 2, R, T, K]. The first reader's are of items, the second's of tokens."""
        del mask_MT
        states = encoding.states[..., -self.slot.in_features :]
        read = (of_tokens(item_means(states, encoding.is_in), encoding.is_in), states)
        keys = [_unit(layer(each)) for layer, each in zip(self.keys, read, strict=True)]
        values = [_unit(layer(each)) for layer, each in zip(self.values, read, strict=True)]
        return torch.stack([torch.stack(keys, 1), torch.stack(values, 1)], dim=1).unsqueeze(1)

    def forward(self, member_MX: Tensor, slots_MCSK: Tensor, keys_values: Tensor | None, mask_MT: Tensor) -> Tensor:
        """Logits of the expected gain, [M, C, H]."""
        return expected_logits(self.steps(member_MX, slots_MCSK, keys_values, mask_MT))

    def steps(self, member_MX: Tensor, slots_MCSK: Tensor, keys_values: Tensor | None, mask_MT: Tensor) -> Tensor:
        """Logits of "the grade is at least 1, 2, 3, 4", [M, C, H, G]."""
        assert keys_values is not None
        width, dtype = self.weight.shape[1], self.compare.weight.dtype
        vector, pools, asked = slots_MCSK.float().split(self.rows, dim=2)
        is_used_MCP = asked.abs().amax(-1) > 0
        found_MCPK, best_MCPR = self._match(_unit(asked).to(dtype), keys_values, mask_MT)
        count_MC1 = is_used_MCP.sum(-1, keepdim=True).clamp_min(1).to(dtype)
        mean_MCR = (best_MCPR * is_used_MCP.unsqueeze(-1).to(dtype)).sum(2) / count_MC1
        of_items = (*self._weigh(found_MCPK, is_used_MCP), mean_MCR)
        own_M1QV = member_MX[:, None, width:].unflatten(-1, (QUESTIONS, -1)).to(dtype)
        other_MCQV = (pools.flatten(2) / LARGEST).unflatten(-1, (QUESTIONS, -1)).to(dtype)
        joint_MCX = self.readout(self._answer(own_M1QV.expand_as(other_MCQV), other_MCQV, of_items))
        product_MCD = member_MX[:, None, :width].float() * _unit(vector.flatten(2))
        # Not a matrix product, and in fp32: cosines are close.
        cosine_MCH = SCALE * (product_MCD.unsqueeze(-2) * self.weight.float()).sum(-1) + self.bias.float()
        late_MCH = SCALE * self.late.float() * mean_MCR.float().mean(-1, keepdim=True)
        logits_MCHG: Tensor = (cosine_MCH + late_MCH).unsqueeze(-1) + joint_MCX.float().unflatten(-1, (-1, STEPS))
        return logits_MCHG

    def _answer(self, own: Tensor, other: Tensor, of_items: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Each question's comparison of both sides' pools [M, C, Q, V] and of items: [M, C, Q, HIDDEN]."""
        weighed_MCQK, extremes, mean = of_items
        gap = self.level(own) - self.level(other)
        compared = torch.cat([own, other, own * other, (own - other).abs(), gap, gap.abs(), weighed_MCQK], dim=-1)
        answers = [
            layer(torch.cat([compared[:, :, question], extremes, mean], dim=-1))
            for question, layer in enumerate(self.answers)
        ]
        return torch.stack(answers, dim=-2)

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
        return self.norm(functional.gelu(self.compare(torch.cat(parts, dim=-1)))), best_MCPR

    def _weigh(self, found_MCPK: Tensor, is_used_MCP: Tensor) -> tuple[Tensor, Tensor]:
        """Slots as each question weighs them [M, C, Q, K], and the least and the greatest evidence [M, C, 2 * X]."""
        never_MCP1 = (~is_used_MCP).unsqueeze(-1).to(found_MCPK.dtype) * NEVER
        weights_MCPQ = torch.softmax(self.question(found_MCPK) + never_MCP1, dim=2)
        evidence = torch.tanh(self.evidence(found_MCPK))
        # Clamped, because a text may have no item.
        extremes = ((evidence - never_MCP1).amin(2).clamp_max(1), (evidence + never_MCP1).amax(2).clamp_min(-1))
        return weights_MCPQ.transpose(2, 3) @ found_MCPK, torch.cat(extremes, dim=-1)


class Rule(nn.Module):
    """A policy's rule: from what a model thinks of each dimension to what the rule makes of it.

    `steps_XG` are the steps of the overall grade that each combination of the D dimensions' grades reaches, null
    included: X = 6^D.
    """

    steps_XG: Tensor

    def __init__(self, steps_XG: Tensor) -> None:
        super().__init__()
        self.register_buffer("steps_XG", steps_XG)

    @classmethod
    def of(cls, policy: Policy) -> Rule:
        """The policy's rule. A combination without an overall grade (all are null) reaches NaN."""
        grid, grades = every_overall(policy), (*reversed(GRADES), None)
        overall = [grid[each] for each in itertools.product(grades, repeat=len(policy.dimensions))]
        value_X1 = torch.tensor([math.nan if each is None else each for each in overall]).unsqueeze(-1)
        steps_XG = (value_X1 >= torch.arange(1, STEPS + 1)).float()
        return cls(torch.where(value_X1.isnan(), value_X1, steps_XG))

    def forward(self, at_least_NDG: Tensor, answerable_ND: Tensor) -> Tensor:
        """P(grade of a dimension >= 1 ... 4) and P(it is no null) -> P(overall grade >= 1 ... 4), f32[N, G].

        Dimensions count as independent of each other. The steps of a grade may cross: each is at most the one before.
        """
        falling_NDG = torch.cummin(at_least_NDG, dim=-1).values
        edges = (torch.ones_like(falling_NDG[..., :1]), falling_NDG, torch.zeros_like(falling_NDG[..., :1]))
        grade_NDV = -torch.cat(edges, dim=-1).diff(dim=-1)
        known_ND1 = answerable_ND.unsqueeze(-1)
        chance_NDV = torch.cat([grade_NDV * known_ND1, 1 - known_ND1], dim=-1)
        joint_NX = chance_NDV[:, 0]
        for dimension in range(1, chance_NDV.shape[1]):
            joint_NX = (joint_NX.unsqueeze(-1) * chance_NDV[:, dimension].unsqueeze(1)).flatten(1)
        has_grade_X = ~self.steps_XG[:, 0].isnan()
        joint_NX = joint_NX[:, has_grade_X]
        found_NG: Tensor = joint_NX @ self.steps_XG[has_grade_X] / joint_NX.sum(-1, keepdim=True).clamp_min(1e-6)
        return found_NG


def expected_logits(steps: Tensor) -> Tensor:
    """Logits of "the grade is at least 1, 2, ..." in the last dimension -> the logit of the expected gain."""
    steps = steps.float()  # log of the mean chance less log of the mean of its complement: exact in both tails
    return torch.logsumexp(functional.logsigmoid(steps), -1) - torch.logsumexp(functional.logsigmoid(-steps), -1)


def _unit(states: Tensor) -> Tensor:
    return functional.normalize(states.float(), dim=-1, eps=1e-6).to(states.dtype)


def _direction(rows: Tensor) -> Tensor:
    """Scaled to a largest size of 127; zeros stay zeros."""
    return rows * (LARGEST / rows.abs().amax(-1, keepdim=True).clamp_min(1e-6))


def _whole(rows: Tensor) -> Tensor:
    """Rounded; the gradient passes as if it were not (Bengio et al., arXiv 1308.3432)."""
    return rows + (rows.round() - rows).detach()
