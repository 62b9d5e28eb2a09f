"""Step `distill`: the teacher's soft labels -> a smaller flat student, calibrated on gold validation lists.

loss = mean over heads of: binary KL(teacher || student) + w * list KL(softmax of teacher || softmax of
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
from training.cross_encoder import keep_layers, predict_lists
from training.data import candidate_lists, read_lists
from training.fit import Loss, TrainBatch, fit
from training.losses import binary_kl, list_kl
from training.recipe import Recipe
from training.store import load_model, save_model
from training.teach import freeze_embeddings


def distillation_loss(heads: Sequence[str], listwise_weight: float, gold_anchor: float) -> Loss:
    """Soft labels carry the student; a little gold keeps it from the teacher's mistakes."""

    def loss(logits_LCH: Tensor, batch: TrainBatch) -> Tensor:
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
    """Train the student from `soft` (step `annotate`), warm from some of the teacher's layers; write it to `out`."""
    columns = [f"{head}{suffix}" for head in recipe.head_names for suffix in ("", "_logit", "_gold")]
    lists = list(candidate_lists(read_soft_labels(soft), columns))
    valid = read_lists(data, recipe.head_names, "valid")[: recipe.calibration_lists]
    model = keep_layers(load_model(teacher, len(recipe.heads))[0], recipe.student_layers)
    if not recipe.train_embeddings:
        freeze_embeddings(model)
    loss = distillation_loss(recipe.head_names, recipe.listwise_weight, recipe.gold_anchor)
    fit(model, lists, encoder, loss, recipe.student, out)
    logits = predict_lists(model, encoder, valid)
    save_model(out, model, fit_calibrations(recipe.head_names, logits, valid))
