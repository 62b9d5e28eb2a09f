"""What features change: a small network for each head, which adds to the logit of the texts.

    logit_h + shift_h + sum_f slope_hf * x_f
            + sum_k outer_hk * tanh(bias_hk + sum_f inner_hfk * x_f + inner_htk * sigmoid(logit_h))

It sees the text logit, so a price can count less where the texts do not fit. A feature that is not `used` by a head has
no effect on it. Knows no texts and no training.

N any dimensions of pairs, H heads, O outputs (heads, then whether some can be answered), F features, K units.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.features import Feature, Features
from training.files import read_json, write_json

UNITS = 8
WEIGHTS, DECLARED = "features.safetensors", "features.json"


class FeaturePart(nn.Module):
    """`declared` are the features in the order of the inputs. `used` is 1 where a head reads a feature, f32[H, F]."""

    used: Tensor

    def __init__(self, declared: Features, num_heads: int) -> None:
        super().__init__()
        self.declared = declared
        self.register_buffer("used", torch.ones(num_heads, len(declared)))
        self.inner = nn.Parameter(torch.zeros(num_heads, len(declared) + 1, UNITS))
        self.bias = nn.Parameter(torch.zeros(num_heads, UNITS))
        self.outer = nn.Parameter(torch.zeros(num_heads, UNITS))
        self.shift = nn.Parameter(torch.zeros(num_heads))
        self.slope = nn.Parameter(torch.zeros(num_heads, len(declared)))

    def forward(self, logits_NO: Tensor, features_NF: Tensor) -> Tensor:
        """Logits [..., O] of the texts and features [..., F] -> logits [..., O]."""
        num_heads = len(self.shift)
        logits_NH, rest = logits_NO[..., :num_heads], logits_NO[..., num_heads:]
        return torch.cat([logits_NH + self.change(logits_NH, features_NF), rest], dim=-1)

    def change(self, logits_NH: Tensor, features_NF: Tensor) -> Tensor:
        """What the features add to each head's logit: [..., H]."""
        dtype = self.inner.dtype
        stated_NH1 = torch.sigmoid(logits_NH.to(dtype)).unsqueeze(-1)
        inputs_NHF = features_NF.to(dtype).unsqueeze(-2) * self.used.to(dtype)
        weights_HFK, text_HK = self.inner[:, :-1], self.inner[:, -1]
        # Products and sums, not a matrix product: quantization leaves them as they are.
        units_NHK = (inputs_NHF.unsqueeze(-1) * weights_HFK).sum(-2) + stated_NH1 * text_HK + self.bias
        straight_NH = (inputs_NHF * self.slope).sum(-1) + self.shift
        change_NH = straight_NH + (torch.tanh(units_NHK) * self.outer).sum(-1)
        is_used_H = self.used.amax(-1).to(dtype)
        return (change_NH * is_used_H).to(logits_NH.dtype)

    def save(self, folder: Path) -> None:
        """Write the weights, and what was declared."""
        save_file(self.state_dict(), folder / WEIGHTS)
        write_json(folder / DECLARED, [each.model_dump() for each in self.declared.declared])


def load_feature_part(folder: Path) -> FeaturePart | None:
    """Read back what `FeaturePart.save` wrote; None where nothing was written."""
    if not (folder / WEIGHTS).exists():
        return None
    weights = load_file(folder / WEIGHTS)
    declared = tuple(Feature.model_validate(each) for each in read_json(folder / DECLARED))
    part = FeaturePart(Features(declared), len(weights["shift"]))
    part.load_state_dict(weights)
    return part
