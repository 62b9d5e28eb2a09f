"""Step `start`: gains of all lists -> the small encoder that students and the engagement teacher start from.

It learns with both sides apart, every member against the candidates of its batch. On lists without grades it imitates
its pretrained backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.text import TextEncoder
from training.data.lists import read_lists
from training.nets.cross_encoder import mix_in_backbone, new_cross_encoder, read_tokenizer, train_embeddings
from training.objectives.in_batch_negatives import contrast, imitate, rehearse
from training.recipe import StartPlan, TextPlan
from training.step_runner import Resources, Step
from training.trainer.loop import fit


@dataclass(frozen=True)
class EncoderPlan:
    """The graded heads of the lists, and how the encoder learns them."""

    heads: tuple[str, ...]
    text: TextPlan
    start: StartPlan
    train_embeddings: bool


@dataclass(frozen=True)
class EncoderInputs:
    data: Path


def text_encoder(text: TextPlan, resources: Resources, tokens: tuple[int, int] | None = None) -> TextEncoder:
    """Encodes with the backbone's tokenizer; `tokens` limit member and candidate (None: as served)."""
    member, candidate = tokens or (text.member_tokens, text.candidate_tokens)
    return TextEncoder(read_tokenizer(resources.model(text.backbone)), member, candidate)


def train_start(plan: EncoderPlan, inputs: EncoderInputs, out: Path, resources: Resources) -> None:
    """Train the encoder and write it to `model`."""
    backbone, encoder = (
        resources.model(plan.text.backbone),
        text_encoder(plan.text, resources, plan.text.training_tokens),
    )
    untouched = new_cross_encoder(backbone, len(plan.heads)).eval()
    model = train_embeddings(new_cross_encoder(backbone, len(plan.heads)), plan.train_embeddings)
    objective = rehearse(contrast(model, encoder, plan.heads), imitate(model, untouched, encoder))
    fit(model, read_lists(inputs.data, plan.heads, "train"), objective, plan.start.schedule, out)
    mix_in_backbone(model, backbone, plan.start.backbone_share).save(out / "model")


START = Step(
    "start",
    lambda recipe: EncoderPlan(recipe.start_heads, recipe.text, recipe.start, recipe.training.train_embeddings),
    EncoderInputs,
    train_start,
)
