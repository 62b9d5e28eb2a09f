"""A flat cross-encoder in torch, initialized from any BERT-like sentence encoder or from some layers of a deeper one.

Knows no data and no losses. N pairs or texts, T tokens, D width, H heads.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedModel

from models.text import Pair, TextEncoder
from training.files import complete
from training.nets.inference import to_tensors
from training.nets.interfaces import PairEncoder

SCALE = 20.0
"""Cosine to logit, the scale that sentence encoders are trained with (sentence-transformers' ranking loss)."""
CLOSED = -4.0
"""Initial value of `crossing`: a token of the other side weighs e^-4 of one of its own side."""
NEVER = -1e4
"""Attention bias of padded keys; still finite in fp16."""


class CrossEncoder(nn.Module):
    """Reads member and candidate as one sequence of two segments, each with its own positions.

        logit_h = SCALE * sum_d weight_hd * u_d * v_d + bias_h [+ sum_d appeal_hd * v_d]

    u and v are the normalised means of the segments' last states. Attention from one segment to the other has the
    learnt bias `crossing`. It starts nearly closed: the logit is then the cosine that the backbone was pretrained
    for, so training starts from all that the backbone knows, not from a random head. Open, every token reads the
    whole pair. With `appeal`, a head of an action also knows what draws every member.
    """

    appeal: nn.Parameter | None

    def __init__(self, backbone: PreTrainedModel, num_heads: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.crossing = nn.Parameter(torch.tensor(CLOSED))
        self.weight = nn.Parameter(torch.ones(num_heads, backbone.config.hidden_size))
        self.bias = nn.Parameter(torch.full((num_heads,), -SCALE / 2))
        self.register_parameter("appeal", None)

    @property
    def num_heads(self) -> int:
        return len(self.bias)

    @property
    def device(self) -> torch.device:
        return self.bias.device

    @property
    def head_layer(self) -> nn.Module:
        """The module with one row of weight and bias per head."""
        return self

    def pair_encoder(self, shared: TextEncoder) -> PairEncoder:
        """What tokenizes its pairs: the recipe's `shared` encoder."""
        return shared

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Inputs i64[N, T] as `TextEncoder.collate` makes them -> logits f32[N, H]."""
        first_NT = attention_mask * (1 - token_type_ids)
        second_NT = attention_mask * token_type_ids
        count_T = torch.arange(input_ids.shape[1], device=input_ids.device)
        states_NTD = self.backbone(
            input_ids=input_ids,
            attention_mask=self._attention_bias(attention_mask, token_type_ids),
            position_ids=count_T - token_type_ids * first_NT.sum(1, keepdim=True),
        ).last_hidden_state
        return self.match(pool(states_NTD, first_NT), pool(states_NTD, second_NT))

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """One side alone, i64[N, T] each -> f32[N, D]: what `forward` pools of it while crossing is closed."""
        states_NTD = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return pool(states_NTD, attention_mask)

    def match(self, members: Tensor, candidates: Tensor) -> Tensor:
        """Embeddings f32[..., D] of both sides, broadcast against each other -> logits f32[..., H]."""
        # Not a matrix product: autocast would round it to bf16 and quantization to int8, and cosines are close.
        similarity = ((members * candidates).unsqueeze(-2) * self.weight.float()).sum(-1)
        logits = SCALE * similarity + self.bias.float()
        if self.appeal is not None:
            logits = logits + (candidates.unsqueeze(-2) * self.appeal.float()).sum(-1)
        return logits

    def _attention_bias(self, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """[N, 1, T, T], added to the attention logits."""
        crossing = self.crossing.to(self.backbone.dtype)
        is_same_NTT = token_type_ids.unsqueeze(1) == token_type_ids.unsqueeze(2)
        bias_NTT = torch.where(is_same_NTT, torch.zeros_like(crossing), crossing)
        is_key_N1T = attention_mask.unsqueeze(1) == 1
        return torch.where(is_key_N1T, bias_NTT, torch.full_like(crossing, NEVER)).unsqueeze(1)

    @torch.inference_mode()
    def reference_logits(self, encoder: TextEncoder, pairs: Sequence[Pair]) -> np.ndarray:
        """Logits f32[N, H] of one batch without autocast, to compare exported graphs with."""
        logits: Tensor = self(**to_tensors(encoder.collate(pairs), self.device))
        return logits.numpy()

    def apart(self) -> CrossEncoder:
        """A copy that reads both sides apart."""
        return copy.deepcopy(self)

    def with_encoder_of(self, other: CrossEncoder) -> CrossEncoder:
        """The same student with the encoder of `other`, which came from `apart`."""
        return other

    def save(self, folder: Path, *, is_main: bool = True) -> None:
        """Write the backbone as a Hugging Face folder, and the added parameters as `heads.safetensors`."""
        if is_main:
            with complete(folder) as partial:
                self.backbone.save_pretrained(partial)
                added = {name: tensor.detach().cpu() for name, tensor in _added(self).items()}
                save_file(added, partial / "heads.safetensors")


def pool(states_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    """Normalised mean of the masked tokens' states, in fp32: f32[N, D]."""
    mask_NT1 = mask_NT.unsqueeze(-1).float()
    mean_ND = (states_NTD.float() * mask_NT1).sum(1) / mask_NT1.sum(1)
    return functional.normalize(mean_ND, dim=1)


def new_cross_encoder(backbone: str, num_heads: int) -> CrossEncoder:
    """Initialize from a Hugging Face encoder's name or folder, on the GPU where there is one.

    Dropout is off: runs are about one epoch long, so they cannot overfit, and the CPU saves the random numbers.
    """
    config = AutoConfig.from_pretrained(backbone)
    for dropout in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if hasattr(config, dropout):
            setattr(config, dropout, 0.0)
    encoder: Any = AutoModel.from_pretrained(backbone, config=config, dtype=torch.float32, attn_implementation="eager")
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    return CrossEncoder(encoder, num_heads).to("cuda" if torch.cuda.is_available() else "cpu")


def load_cross_encoder(folder: Path) -> CrossEncoder:
    """Read back what `CrossEncoder.save` wrote."""
    added = load_file(folder / "heads.safetensors")
    model = new_cross_encoder(str(folder), len(added["bias"]))
    if "appeal" in added:
        model.appeal = nn.Parameter(torch.zeros_like(added["appeal"], device=model.device))
    for name, parameter in _added(model).items():
        parameter.data.copy_(added[name])
    return model


def _added(model: CrossEncoder) -> dict[str, nn.Parameter]:
    return {name: each for name, each in model.named_parameters() if not name.startswith("backbone.")}


def keep_layers(teacher: CrossEncoder, layers: Sequence[int]) -> CrossEncoder:
    """A student initialized with some layers of its teacher, its embeddings and its heads (as in DistilBERT)."""
    student = copy.deepcopy(teacher)
    encoder: Any = student.backbone.encoder
    encoder.layer = nn.ModuleList(encoder.layer[index] for index in layers)
    student.backbone.config.num_hidden_layers = len(layers)
    return student


@torch.no_grad()
def mix_in_backbone(model: CrossEncoder, backbone: str, share: float) -> CrossEncoder:
    """Interpolate the backbone's weights towards the pretrained ones, by `share` in [0, 1].

    WiSE-FT (Wortsman et al., arXiv 2109.01903): keeps most of what was learnt, and recovers much of what training
    forgot about texts unlike its own.
    """
    untouched = new_cross_encoder(backbone, model.num_heads).backbone.state_dict()
    for name, tensor in model.backbone.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(untouched[name], share)
    return model


def train_embeddings(model: CrossEncoder, wanted: bool) -> CrossEncoder:
    """Train the embeddings or freeze them. Frozen, the backbone keeps what it knows of words outside the data."""
    embeddings: Any = model.backbone.embeddings
    embeddings.requires_grad_(wanted)
    return model


def read_tokenizer(name: str) -> str:
    """Text of the tokenizer.json in a local model folder."""
    return (Path(name) / "tokenizer.json").read_text(encoding="utf-8")
