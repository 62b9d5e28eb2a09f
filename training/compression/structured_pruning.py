"""Structured pruning of a BERT-like encoder: feed-forward units are removed, and the kept ones compensate.

A unit is a row of a layer's first matrix and a column of its second, so the result is a common encoder with a smaller
`intermediate_size`. With a the units' values for a token and W the second matrix, removing set R and keeping S is a
least-squares problem

    minimise over V:  E |W a - V a_S|^2      =>      V = W_S + W_R E[a_R a_S^T] E[a_S a_S^T]^-1

as in OSSCAR (Meng et al., arXiv 2403.12983); a ends with a constant 1 for the bias. A unit's importance is
the error that its removal alone adds once the others compensate (optimal brain surgeon: Hassibi and Stork, 1992).
Knows no data and no training.

T tokens, D width, F units of a layer and the constant, S kept units and the constant.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

RIDGE = 1e-3
"""Of each unit's own second moment: keeps the weights where few texts leave them undetermined."""
NOTHING = 1e-12
"""Of the mean second moment: added for units that are always 0."""


def prune(backbone: PreTrainedModel, share: float, moments: Sequence[Tensor]) -> PreTrainedModel:
    """A copy with the most important `share` of each layer's units, in (0, 1], by their `second_moments`."""
    kept = max(1, round(share * backbone.config.intermediate_size))
    importances = [importance(moment, _down(layer)) for moment, layer in zip(moments, _layers(backbone), strict=True)]
    return keep_units(backbone, moments, [each.topk(kept).indices.sort().values for each in importances])


@torch.inference_mode()
def second_moments(backbone: PreTrainedModel, texts: Iterable[Mapping[str, Tensor]]) -> list[Tensor]:
    """E[a a^T] of each layer over the tokens of `texts`, padding left out: f64[F, F].

    `texts` are batches of `input_ids` and `attention_mask`, i64[N, T] each; together a few times F tokens.
    """
    sums = [torch.zeros(()) for _ in _layers(backbone)]
    tokens: Tensor = torch.zeros(0)

    def add(index: int, _: nn.Module, inputs: tuple[Tensor]) -> None:
        units = inputs[0][tokens]
        values_TF = torch.cat([units, torch.ones_like(units[:, :1])], dim=1)
        sums[index] = sums[index] + (values_TF.T @ values_TF).double()

    hooks = [
        layer.output.dense.register_forward_pre_hook(partial(add, index))
        for index, layer in enumerate(_layers(backbone))
    ]
    try:
        for batch in texts:
            tokens = batch["attention_mask"].bool()
            backbone(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    return [each / each[-1, -1] for each in sums]


def importance(moment_FF: Tensor, down_DF: Tensor) -> Tensor:
    """Growth of the mean squared error when a unit is removed and the others compensate, f64[units]."""
    inverse = torch.linalg.inv(moment_FF + _ridge(moment_FF))
    lost_F: Tensor = down_DF.square().sum(0) / inverse.diagonal()
    return lost_F[:-1]


@torch.no_grad()
def keep_units(backbone: PreTrainedModel, moments: Sequence[Tensor], kept: Sequence[Tensor]) -> PreTrainedModel:
    """A copy with these units of each layer, i64[S - 1], the same number in every layer."""
    pruned = copy.deepcopy(backbone)
    for layer, moment, units in zip(_layers(pruned), moments, kept, strict=True):
        up: nn.Linear = layer.intermediate.dense
        down_DS = _refitted(_down(layer), moment, units).to(up.weight.dtype)
        layer.intermediate.dense = _linear(up.weight[units], up.bias[units])
        layer.output.dense = _linear(down_DS[:, :-1], down_DS[:, -1])
    pruned.config.intermediate_size = len(kept[0])
    return pruned


def _refitted(down_DF: Tensor, moment_FF: Tensor, units: Tensor) -> Tensor:
    is_kept = torch.zeros(len(moment_FF), dtype=torch.bool, device=units.device)
    is_kept[units] = True
    is_kept[-1] = True
    within_SS = moment_FF[is_kept][:, is_kept]
    removed_SD = moment_FF[is_kept][:, ~is_kept] @ down_DF[:, ~is_kept].T
    compensation_SD: Tensor = torch.linalg.solve(within_SS + _ridge(within_SS), removed_SD)
    return down_DF[:, is_kept] + compensation_SD.T


def _ridge(moment: Tensor) -> Tensor:
    own = moment.diagonal()
    return torch.diag(RIDGE * own + NOTHING * own.mean())


def _layers(backbone: PreTrainedModel) -> list[Any]:
    encoder: Any = backbone.encoder
    return list(encoder.layer)


def _down(layer: nn.Module) -> Tensor:
    """The layer's second matrix, with its bias as the constant's column: f64[D, F]."""
    source: Any = layer
    dense: nn.Linear = source.output.dense
    return torch.cat([dense.weight, dense.bias[:, None]], dim=1).detach().double()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
    made.weight.copy_(weight)
    made.bias.copy_(bias)
    return made
