"""A standard cross-encoder that answers a policy's questions: how high the grade is, and whether the texts tell it.

It reads member and candidate as one sequence, from any Hugging Face encoder folder, with the backbone's own special
tokens. Knows no data and no losses. N pairs, T tokens, D width, Q heads (questions).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from models.text import Inputs, Pair, TextEncoder, TokenIds
from training.data.soft_labels import OUTPUTS
from training.errors import UserError
from training.files import complete, read_json, write_json
from training.nets.interfaces import PairEncoder
from training.trainer.precision import full_precision

HIDDEN = 256
SAID, ADDED = "teacher.json", "heads.safetensors"


class PairTokenizer:
    """A pair as the backbone was pretrained to read one: `[CLS] member [SEP] candidate [SEP]`, or `</s></s>` between.

    `tokens` truncate member and candidate.
    """

    def __init__(self, tokenizer_json: str, tokens: tuple[int, int]) -> None:
        self.tokenizer_json = tokenizer_json
        self.tokens = tokens
        self._texts = TextEncoder(tokenizer_json, *tokens, layout="pair")
        self._opening = np.array(_between(tokenizer_json)[1:], dtype=np.int32)

    def member(self, text: str) -> TokenIds:
        """Ids of the first segment, i32[tokens]."""
        return self._texts.member(text)

    def candidates(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of the second segment, i32[tokens] each."""
        return [np.concatenate([self._opening, ids]) for ids in self._texts.candidates(texts)]

    def collate(self, pairs: Sequence[Pair]) -> Inputs:
        """`input_ids`, `attention_mask`, `token_type_ids`: i64[N, T], padded on the right."""
        return self._texts.collate(pairs)


def _between(tokenizer_json: str) -> list[int]:
    """The special tokens between the two texts of a pair: the first ends the member, the others begin the candidate."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    both = tokenizer.encode("a", "b")
    sides = both.sequence_ids
    if 0 not in sides or 1 not in sides:
        return []
    return list(both.ids[len(sides) - sides[::-1].index(0) : sides.index(1)])


class OrdinalCrossEncoder(nn.Module):
    """Five outputs a head: four cumulative logits, of a grade of at least 1 to 4, and one of being answerable.

        [mean of the member's states, of the candidate's, their product, their distance, first state]
            -> 256 -> GELU -> outputs

    Segment ids go to the backbone where it has embeddings for them; else it learns them here, from zero.
    """

    def __init__(self, backbone: PreTrainedModel, heads: Sequence[str], encoder: PairTokenizer) -> None:
        super().__init__()
        width = backbone.config.hidden_size
        self.backbone = backbone
        self.heads = tuple(heads)
        self.encoder = encoder
        self.segments = None if getattr(backbone.config, "type_vocab_size", 0) > 1 else nn.Embedding(2, width)
        if self.segments is not None:
            nn.init.zeros_(self.segments.weight)
        self.head = nn.Sequential(nn.Linear(5 * width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, OUTPUTS * len(heads)))

    @property
    def num_heads(self) -> int:
        """Outputs of a pair."""
        return OUTPUTS * len(self.heads)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def pair_encoder(self, shared: TextEncoder) -> PairEncoder:
        """What tokenizes its pairs: its own backbone's tokenizer, not the recipe's `shared` one."""
        return self.encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Inputs i64[N, T] -> outputs f32[N, 5 Q], head by head; `training.data.soft_labels` reads them."""
        words: Any = self.backbone.get_input_embeddings()
        if self.segments is None:
            given = {"input_ids": input_ids, "token_type_ids": token_type_ids}
        else:
            given = {"inputs_embeds": words(input_ids) + self.segments(token_type_ids)}
        states_NTD = self.backbone(**given, attention_mask=attention_mask).last_hidden_state.float()
        member_ND = _mean(states_NTD, attention_mask * (1 - token_type_ids))
        candidate_ND = _mean(states_NTD, attention_mask * token_type_ids)
        both = [member_ND, candidate_ND, member_ND * candidate_ND, (member_ND - candidate_ND).abs(), states_NTD[:, 0]]
        with full_precision(self.device):  # bf16 would round near grades to the same
            outputs: Tensor = self.head(torch.cat(both, dim=1))
        return outputs

    def save(self, folder: Path, *, is_main: bool = True) -> None:
        """Write the backbone with its tokenizer as a Hugging Face folder, and beside it all that was added."""
        if is_main:
            with complete(folder) as partial:
                self.backbone.save_pretrained(partial)
                (partial / "tokenizer.json").write_text(self.encoder.tokenizer_json, encoding="utf-8")
                added = {n: t.detach().cpu() for n, t in self.state_dict().items() if not n.startswith("backbone.")}
                save_file(added, partial / ADDED)
                write_json(partial / SAID, {"heads": self.heads, "tokens": self.encoder.tokens})


def _mean(states_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    mask_NT1 = mask_NT.unsqueeze(-1).float()
    return (states_NTD * mask_NT1).sum(1) / mask_NT1.sum(1)


def new_ordinal_cross_encoder(
    backbone: str, heads: Sequence[str], tokens: tuple[int, int], seed: int = 0, *, tokenizer: str | None = None
) -> OrdinalCrossEncoder:
    """Initialize from a Hugging Face encoder's folder, on the GPU where there is one.

    `tokenizer` is the folder with its tokenizer.json, where that is another.
    """
    encoder: Any = AutoModel.from_pretrained(backbone, dtype=torch.float32)
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    reads = PairTokenizer((Path(tokenizer or backbone) / "tokenizer.json").read_text(encoding="utf-8"), tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = OrdinalCrossEncoder(encoder, heads, reads)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def is_ordinal_cross_encoder(folder: Path) -> bool:
    """Whether `OrdinalCrossEncoder.save` wrote this folder."""
    return (folder / SAID).exists()


def load_ordinal_cross_encoder(folder: Path) -> OrdinalCrossEncoder:
    """Read back what `OrdinalCrossEncoder.save` wrote."""
    said = read_json(folder / SAID)
    model = new_ordinal_cross_encoder(str(folder), said["heads"], tuple(said["tokens"]))
    model.load_state_dict(load_file(folder / ADDED), strict=False)
    return model


def read_weights(path: Path, model: OrdinalCrossEncoder) -> OrdinalCrossEncoder:
    """The model, in place, with the weights of a torch checkpoint of the same architecture.

    The file holds a state dict, or one by the name of "model". The backbone may be called `net`; the last layer's heads
    are then the dimensions in the policy's order and the overall grade last. Raises UserError for other weights.
    """
    try:
        state: Mapping[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: not a torch checkpoint ({type(error).__name__})") from error
    state = state.get("model", state)
    if any(name.startswith("net.") for name in state):
        state = {_renamed(name): tensor for name, tensor in state.items() if not name.startswith("net.pooler.")}
        for name in ("head.2.weight", "head.2.bias"):
            state[name] = state[name].roll(OUTPUTS, 0)  # the overall grade is this model's first head
    wrong = [
        name for name, tensor in model.state_dict().items() if name not in state or state[name].shape != tensor.shape
    ]
    if wrong:
        raise UserError(f"{path}: weights of another model: it has no {wrong[0]} of this shape")
    model.load_state_dict(dict(state), strict=False)
    return model


def _renamed(name: str) -> str:
    return "backbone." + name.removeprefix("net.") if name.startswith("net.") else name


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all weights, by name: the same for a model and for what is loaded from its folder."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


class Ensemble(nn.Module):
    """Cross-encoders with one tokenizer and the same heads, of several seeds: the mean of their probabilities."""

    def __init__(self, members: Sequence[OrdinalCrossEncoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._members = tuple(members)
        self.heads, self.num_heads, self.encoder = members[0].heads, members[0].num_heads, members[0].encoder

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def pair_encoder(self, shared: TextEncoder) -> PairEncoder:
        """That of its members."""
        return self.encoder

    def forward(self, **inputs: Tensor) -> Tensor:
        """Outputs f32[N, 5 Q] as of one of them."""
        chances: list[Tensor] = [member(**inputs).float().sigmoid() for member in self.members]
        return torch.logit(torch.stack(chances).mean(0), eps=1e-6)

    def save(self, folder: Path, *, is_main: bool = True) -> None:
        """Write each member to a folder of its number."""
        if is_main:
            with complete(folder) as partial:
                partial.mkdir(parents=True, exist_ok=True)
                for number, member in enumerate(self._members):
                    member.save(partial / str(number))


def load_ensemble(folder: Path) -> Ensemble:
    """Read back what `Ensemble.save` wrote."""
    return Ensemble([load_ordinal_cross_encoder(path) for path in sorted(folder.iterdir())])
