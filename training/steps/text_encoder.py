"""The recipe's text encoder, as every step that reads texts makes it."""

from __future__ import annotations

from models.text import TextEncoder
from training.nets.cross_encoder import read_tokenizer
from training.recipe import TextPlan
from training.step_runner import Resources


def text_encoder(text: TextPlan, resources: Resources, tokens: tuple[int, int] | None = None) -> TextEncoder:
    """Encodes with the backbone's tokenizer; `tokens` limit member and candidate (None: as served)."""
    member, candidate = tokens or (text.member_tokens, text.candidate_tokens)
    return TextEncoder(read_tokenizer(resources.model(text.backbone)), member, candidate)
