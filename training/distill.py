"""Step `distill`: the teacher's soft labels -> a smaller flat student, calibrated on gold validation lists.

First, with both sides apart, the student learns to place every text where the deeper model does (no labels). Then, in
pairs: loss = mean over heads of: binary KL(teacher || student) + w * list KL(softmax of teacher || softmax of
student) + a * gold anchor
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.text import TextEncoder
from training.annotate import read_soft_labels
from training.calibrate import fit_calibrations
from training.cross_encoder import CrossEncoder, keep_layers, load_cross_encoder, predict_lists, train_embeddings
from training.data import candidate_lists, read_lists
from training.fit import fit
from training.losses import binary_kl, list_kl
from training.pairs import PairBatch, PairLoss, pair_objective
from training.recipe import Recipe
from training.sides import imitate
from training.store import made_once, save_model


def distillation_loss(heads: Sequence[str], listwise_weight: float, gold_anchor: float) -> PairLoss:
    """Soft labels carry the student; a little gold keeps it from the teacher's mistakes."""

    def loss(logits_LCH: Tensor, batch: PairBatch) -> Tensor:
        terms = []
        for index, head in enumerate(heads):
            logits_LC, soft_LC, mask_LC = logits_LCH[..., index], batch.targets[head], batch.masks[head]
            teacher_LC = batch.targets[f"{head}_logit"].masked_fill(~mask_LC, -1e9)
            term = binary_kl(logits_LC, soft_LC, mask_LC)
            term = term + listwise_weight * list_kl(logits_LC, torch.softmax(teacher_LC, dim=1), mask_LC)
            gold = binary_kl(logits_LC, batch.targets[f"{head}_gold"], batch.masks[f"{head}_gold"])
            terms.append(term + gold_anchor * gold)
        return torch.stack(terms).mean()

    return loss


def distill(recipe: Recipe, encoder: TextEncoder, data: Path, teacher: Path, soft: Path, out: Path) -> None:
    """Train the student from `soft` (step `annotate`), warm from some layers of the teacher's; write it to `out`."""
    heads, schedules = recipe.head_names, recipe.student
    valid = read_lists(data, heads, "valid")[: recipe.calibration_lists]

    def shrunk() -> CrossEncoder:
        deep = load_cross_encoder(teacher / "sides" / "model").eval()
        model = train_embeddings(keep_layers(deep, recipe.student_layers), recipe.train_embeddings)
        train = read_lists(data, heads, "train")
        fit(model, train, imitate(model, deep, encoder), schedules.sides, out / "sides")
        return model

    model = train_embeddings(made_once(out / "sides" / "model", shrunk), recipe.train_embeddings)
    columns = [f"{head}{suffix}" for head in heads for suffix in ("", "_logit", "_gold")]
    labelled = list(candidate_lists(read_soft_labels(soft), columns))
    loss = distillation_loss(heads, recipe.listwise_weight, recipe.gold_anchor)
    fit(model, labelled, pair_objective(model, encoder, loss), schedules.pairs, out)
    save_model(out, model, fit_calibrations(heads, predict_lists(model, encoder, valid), valid))
