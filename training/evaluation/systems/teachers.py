"""A trained teacher (or a student that is not yet a bundle) as a system: the folder that its training step wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training.data.lists import FieldList
from training.data.soft_labels import Answers
from training.errors import UserError
from training.evaluation.systems.baselines import rendered
from training.evaluation.systems.bundles import head_name
from training.evaluation.systems.interface import HeadScores, Kind, System
from training.files import digest
from training.nets.checkpoints import is_policy_teacher, load_policy_teacher, read_calibrations
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, read_tokenizer
from training.nets.inference import predict_lists
from training.recipe import Recipe


class NotATeacher(UserError):
    """A folder whose model has other outputs than the recipe has heads; the message names both."""


def teacher_system(
    folder: Path, name: str, kind: Kind, recipe: Recipe, backbone: Path, *, seed: int = 0, most_lists: int | None = None
) -> System:
    """Reads every pair whole, calibrated as its step calibrated it. `backbone` has the recipe's tokenizer."""
    is_flat = (folder / "model" / "heads.safetensors").exists() and not is_policy_teacher(folder)
    model = load_cross_encoder(folder / "model") if is_flat else load_policy_teacher(folder)
    calibrations, heads = read_calibrations(folder), recipe.head_names.graded
    if not isinstance(model, CrossEncoder):
        heads = model.heads
    elif model.num_heads != len(heads):
        raise NotATeacher(f"{folder}: the model has {model.num_heads} outputs, recipe {recipe.name!r} has {heads}")
    text = recipe.text
    shared = TextEncoder(read_tokenizer(str(backbone)), text.member_tokens, text.candidate_tokens)
    encoder = model.pair_encoder(shared)

    def score(lists: Sequence[FieldList]) -> HeadScores:
        outputs = predict_lists(model, encoder, rendered(lists, text.template)).astype(np.float64)
        logits = outputs if is_flat else Answers.of(outputs).logits
        return {head_name(head): calibrations[head].apply(logits[:, index]) for index, head in enumerate(heads)}

    return System(name, kind, score, seed, is_calibrated=True, identity=digest(folder), most_lists=most_lists)
