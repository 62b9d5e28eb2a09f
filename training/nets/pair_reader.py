"""The policy teacher: reads each text alone in its lower layers, then both together, and answers a policy's questions.

    below      a text's states in the lower layers, which stay as they are: computed once a text, and kept
    above      both texts together. Attention from one to the other has a learnt bias for each layer and head, which
               starts nearly closed, so that training starts from what the backbone knows of single texts
    scorer     the student's own operations (`item_scorer.py`), on states in which each text has read the other
    rule       the overall grade is the mean of its own head and of what the policy's rule makes of the dimensions

A text's level must be read before it can be compared: what reads both texts from the first layer on learns neither
level nor terms in the time that a few processors have. Knows no data and no losses.

N pairs, U distinct texts, T tokens, D width, E width of the states of two layers, A attention heads, Q questions
(heads), G steps of a grade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, PreTrainedModel

from models.text import Inputs, Pair, TextEncoder, TokenIds
from training.data.soft_labels import OUTPUTS
from training.files import complete, read_json, write_json
from training.nets.cross_encoder import NEVER, SCALE, pool
from training.nets.inference import KeptTexts, evaluating, to_tensors
from training.nets.interfaces import PairEncoder
from training.nets.item_scorer import COSINE_SHARE, ItemScorer, Rule, expected_logits
from training.nets.items import Encoding, separators_in
from training.trainer.precision import full_precision

CLOSED = -4.0
"""Initial bias of attention to the other text: a token of it weighs e^-4 of one of the own text."""
KEPT_TEXTS = 30_000
"""A text of 70 tokens by MPNet takes 100 KB, twice that where its last states are kept too."""
SAID, ADDED = "teacher.json", "reader.safetensors"


class TwoTexts:
    """Texts to token ids, and pairs of them side by side. `tokens` truncate member and candidate."""

    def __init__(self, tokenizer_json: str, tokens: tuple[int, int]) -> None:
        self.tokenizer_json = tokenizer_json
        self.tokens = tokens
        self._texts = TextEncoder(tokenizer_json, *tokens)

    def member(self, text: str) -> TokenIds:
        """Ids of a member's text, i32[tokens]."""
        return self._texts.member(text)

    def candidates(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of candidates' texts, i32[tokens] each."""
        return self._texts.candidates(texts)

    def collate(self, pairs: Sequence[Pair]) -> Inputs:
        """`input_ids`, `attention_mask`: i64[N, 2, T], the member first, padded on the right."""
        sides = self._texts.collate_sides([ids for pair in pairs for ids in (pair.member, pair.candidate)])
        return {name: array.reshape(len(pairs), 2, -1) for name, array in sides.items()}


@dataclass(frozen=True)
class _Side:
    """One side of N pairs: its U distinct texts, ids and mask i64[U, T], states [U, T, D or E]; `row` i64[N] says which
    of them a pair has.
    """

    ids: Tensor
    mask: Tensor
    states: Tensor
    row: Tensor


class PairReader(nn.Module):
    """Five outputs a head: four cumulative logits, of a grade of at least 1 to 4, and one of being answerable.

    Until `read_together`, nothing crosses, and the backbone learns nothing.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        heads: Sequence[str],
        encoder: TwoTexts,
        slots: tuple[int, int],
        rule: Rule | None = None,
    ) -> None:
        """`slots`: how many items of a candidate have a slot of their own, and the numbers of one. `rule` makes the
        first of the heads from all others, which are the policy's dimensions in order.
        """
        super().__init__()
        config = backbone.config
        self.backbone = backbone
        self.heads = tuple(heads)
        self.encoder = encoder
        self.slots = slots
        self.rule = rule
        self.alone = 2 * config.num_hidden_layers // 3
        self.crossing = nn.Parameter(torch.full((len(self._above), config.num_attention_heads), CLOSED))
        share_H = torch.tensor([COSINE_SHARE] + [0.0] * (2 * len(heads) - 1))
        weight_HD = share_H.unsqueeze(-1).expand(-1, config.hidden_size)
        self.scorer = ItemScorer(weight_HD, -share_H * SCALE / 2, *slots, separators_in(encoder.tokenizer_json))
        self.read_together(wanted=False)

    @property
    def num_heads(self) -> int:
        """Outputs of a pair."""
        return OUTPUTS * len(self.heads)

    @property
    def device(self) -> torch.device:
        return self.crossing.device

    @property
    def _above(self) -> nn.ModuleList:
        encoder: Any = self.backbone.encoder
        layers: nn.ModuleList = encoder.layer[self.alone :]
        return layers

    def pair_encoder(self, shared: TextEncoder) -> PairEncoder:
        """What tokenizes its pairs: its own backbone's tokenizer, not the recipe's `shared` one."""
        return self.encoder

    def read_together(self, *, wanted: bool) -> PairReader:
        """Whether the upper layers read both texts, and learn; in place."""
        self.is_together = wanted
        self._kept = KeptTexts(self._read_alone, KEPT_TEXTS)
        self.backbone.requires_grad_(requires_grad=False)
        self._above.requires_grad_(wanted)
        self.crossing.requires_grad_(wanted)
        return self

    def share_texts_of(self, other: PairReader) -> None:
        """Keep what frozen layers make of a text once for both readers, whose backbones are equal."""
        self._kept = other._kept

    @torch.no_grad()
    def start_from(self, texts: Sequence[str]) -> PairReader:
        """Let matching of items start as the cosine of their states, by the directions of these texts; in place."""
        pairs = [Pair(ids, ids) for ids in self.encoder.candidates(texts)]
        inputs = to_tensors(self.encoder.collate(pairs), self.device)
        side = self._side(inputs["input_ids"][:, 0], inputs["attention_mask"][:, 0])
        self.scorer.start_from(side.states[..., -self.backbone.config.hidden_size :][side.mask == 1])
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Inputs i64[N, 2, T] -> outputs f32[N, 5 Q], head by head; `training.data.soft_labels` reads them."""
        member, candidate = (self._side(input_ids[:, side], attention_mask[:, side]) for side in (0, 1))
        if self.is_together:
            member, candidate = self._read_both(member, candidate)
        with full_precision(self.device):  # levels differ little
            steps_NHG = self._steps(member, candidate)
        graded_NQG, asked_NQG = steps_NHG.chunk(2, dim=1)
        answerable_NQ = expected_logits(asked_NQG)
        if self.rule is not None and not self.training:
            graded_NQG = self._with_rule(self.rule, graded_NQG, answerable_NQ)
        return torch.cat([graded_NQG, answerable_NQ.unsqueeze(-1)], dim=-1).flatten(1)

    def _with_rule(self, rule: Rule, graded_NQG: Tensor, answerable_NQ: Tensor) -> Tensor:
        with full_precision(self.device):
            own_NQG = graded_NQG.float().sigmoid()
            ruled_NG = rule(own_NQG[:, 1:], answerable_NQ[:, 1:].float().sigmoid())
            first_NG = torch.logit((own_NQG[:, 0] + ruled_NG) / 2, eps=1e-6)
        return torch.cat([first_NG.unsqueeze(1), graded_NQG[:, 1:].float()], dim=1)

    def _steps(self, member: _Side, candidate: _Side) -> Tensor:
        """Logits of each step of each output, [N, H, G]."""
        width, scorer = self.backbone.config.hidden_size, self.scorer
        asked, offered = (
            Encoding(pool(side.states[..., -width:], side.mask), side.states, scorer.items(side.ids, side.mask))
            for side in (member, candidate)
        )
        slots_N1SK = scorer.slots(offered, candidate.mask)[candidate.row].unsqueeze(1)
        keys_values = scorer.keys_values(asked, member.mask)[member.row]
        member_NX = scorer.member(asked, member.mask)[member.row]
        return scorer.steps(member_NX.float(), slots_N1SK, keys_values.float(), member.mask[member.row])[:, 0]

    def _side(self, ids_NT: Tensor, mask_NT: Tensor) -> _Side:
        """The distinct texts of one side, with what the frozen layers make of them."""
        texts = [ids[mask == 1] for ids, mask in zip(ids_NT.cpu(), mask_NT.cpu(), strict=True)]
        keys = [ids.numpy().tobytes() for ids in texts]
        distinct = dict(zip(keys, texts, strict=True))
        states = list(self._kept.of(distinct).values())
        place = {key: row for row, key in enumerate(distinct)}
        return _Side(
            pad_sequence(list(distinct.values()), batch_first=True).to(self.device),
            pad_sequence([torch.ones_like(ids) for ids in distinct.values()], batch_first=True).to(self.device),
            pad_sequence(states, batch_first=True).to(self.device).float(),
            torch.tensor([place[key] for key in keys], device=self.device),
        )

    def _read_alone(self, texts: list[Tensor]) -> list[Tensor]:
        """f16[T, D] of each text's ids, of layer `alone`; f16[T, E] with the last layer's too while nothing crosses."""
        ids_UT = pad_sequence(texts, batch_first=True).to(self.device)
        mask_UT = pad_sequence([torch.ones_like(ids) for ids in texts], batch_first=True).to(self.device)
        with evaluating(self.backbone):
            out = self.backbone(input_ids=ids_UT, attention_mask=mask_UT, output_hidden_states=True)
        middle = out.hidden_states[self.alone]
        states = middle if self.is_together else torch.cat([middle, out.last_hidden_state], dim=-1)
        return [each[: len(ids)].half().cpu() for each, ids in zip(states, texts, strict=True)]

    def _read_both(self, member: _Side, candidate: _Side) -> tuple[_Side, _Side]:
        """Both sides of each pair, with states [N, T, E]: before the upper layers, and after them."""
        sides = [(each.ids[each.row], each.mask[each.row], each.states[each.row]) for each in (member, candidate)]
        lengths = [ids.shape[1] for ids, _, _ in sides]
        states_NTD = torch.cat([states for _, _, states in sides], dim=1)
        own_1ATT, is_other_TT = self._positions(states_NTD, lengths)
        never_N11T = (1 - torch.cat([mask for _, mask, _ in sides], dim=1))[:, None, None] * NEVER
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled(self.device.type) else torch.float32
        for layer, crossing_A in zip(self._above, self.crossing, strict=True):
            bias_NATT = own_1ATT + crossing_A[:, None, None] * is_other_TT + never_N11T
            found = layer(states_NTD, attention_mask=bias_NATT.to(dtype))
            states_NTD = found[0] if isinstance(found, tuple) else found
        row = torch.arange(len(states_NTD), device=self.device)
        both = zip(sides, states_NTD.split(lengths, dim=1), strict=True)
        first, second = (
            _Side(ids, mask, torch.cat([before, after.float()], -1), row) for (ids, mask, before), after in both
        )
        return first, second

    def _positions(self, states_NTD: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The backbone's own bias of attention within each text [1, A or 1, T, T], 0 between them; and where the other
        text is, [T, T].
        """
        second_T = torch.arange(sum(lengths), device=self.device) >= lengths[0]
        is_other_TT = (second_T.unsqueeze(0) != second_T.unsqueeze(1)).float()
        encoder: Any = self.backbone.encoder
        if not hasattr(encoder, "compute_position_bias"):  # its embeddings know positions
            return torch.zeros(1, 1, *is_other_TT.shape, device=self.device), is_other_TT
        parts = [encoder.compute_position_bias(part[:1]) for part in states_NTD.split(list(lengths), dim=1)]
        own_ATT = torch.stack([torch.block_diag(*blocks) for blocks in zip(*(part[0] for part in parts), strict=True)])
        return own_ATT.unsqueeze(0), is_other_TT

    def save(self, folder: Path, *, is_main: bool = True) -> None:
        """Write the backbone with its tokenizer as a Hugging Face folder, and beside it all that was added."""
        if is_main:
            with complete(folder) as partial:
                self.backbone.save_pretrained(partial)
                (partial / "tokenizer.json").write_text(self.encoder.tokenizer_json, encoding="utf-8")
                added = {n: t.detach().cpu() for n, t in self.state_dict().items() if not n.startswith("backbone.")}
                save_file(added, partial / ADDED)
                said = {"heads": self.heads, "tokens": self.encoder.tokens, "slots": self.slots}
                write_json(partial / SAID, {**said, "together": self.is_together})


def new_pair_reader(
    backbone: str,
    heads: Sequence[str],
    tokens: tuple[int, int],
    slots: tuple[int, int],
    rule: Rule | None = None,
    seed: int = 0,
    *,
    tokenizer: str | None = None,
) -> PairReader:
    """Initialize from a Hugging Face encoder's folder, on the GPU where there is one.

    `tokenizer` is the folder with its tokenizer.json, where that is another. Where the numbers of a slot do not divide
    the backbone's width, a slot has fewer.
    """
    encoder: Any = AutoModel.from_pretrained(backbone, dtype=torch.float32)
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    reads = TwoTexts((Path(tokenizer or backbone) / "tokenizer.json").read_text(encoding="utf-8"), tokens)
    fitting = (slots[0], math.gcd(slots[1], encoder.config.hidden_size))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PairReader(encoder, heads, reads, fitting, rule)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def is_pair_reader(folder: Path) -> bool:
    """Whether `PairReader.save` wrote this folder."""
    return (folder / SAID).exists()


def load_pair_reader(folder: Path) -> PairReader:
    """Read back what `PairReader.save` wrote."""
    said, added = read_json(folder / SAID), load_file(folder / ADDED)
    rule = Rule(added["rule.steps_XG"]) if "rule.steps_XG" in added else None
    model = new_pair_reader(str(folder), said["heads"], tuple(said["tokens"]), tuple(said["slots"]), rule)
    model.load_state_dict(added, strict=False)
    return model.read_together(wanted=said["together"])
