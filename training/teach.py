"""Step `teach`: gold grades -> a flat cross-encoder teacher, calibrated on validation lists it did not train on.

First with both sides apart, then in pairs; the model between the phases stays in `sides/`. Lists that nobody judged are
rehearsed: on them the teacher imitates its untouched backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.text import TextEncoder
from training.calibrate import fit_calibrations
from training.cross_encoder import CrossEncoder, mix_in_backbone, new_cross_encoder, predict_lists, train_embeddings
from training.data import read_lists
from training.fit import fit
from training.losses import binary_kl, list_kl
from training.pairs import PairBatch, PairLoss, pair_objective
from training.recipe import Recipe
from training.sides import contrast, imitate, rehearse
from training.store import made_once, save_model


def gold_loss(heads: Sequence[str], listwise_weight: float) -> PairLoss:
    """Binary KL to the gain of each pair, plus a listwise term; the mean over heads."""

    def loss(logits_LCH: Tensor, batch: PairBatch) -> Tensor:
        terms = []
        for index, head in enumerate(heads):
            logits_LC, targets_LC, mask_LC = logits_LCH[..., index], batch.targets[head], batch.masks[head]
            pointwise = binary_kl(logits_LC, targets_LC, mask_LC)
            terms.append(pointwise + listwise_weight * list_kl(logits_LC, targets_LC, mask_LC))
        return torch.stack(terms).mean()

    return loss


def teach(recipe: Recipe, backbone: str, encoder: TextEncoder, data: Path, out: Path) -> None:
    """Train the teacher of all heads and write it, with its calibration, to `out`."""
    heads, schedules = recipe.head_names, recipe.teacher
    train = read_lists(data, heads, "train")
    judged = [each for each in train if each.is_judged]
    valid = read_lists(data, heads, "valid")[: recipe.calibration_lists]

    def taught_apart() -> CrossEncoder:
        untouched = new_cross_encoder(backbone, len(heads)).eval()
        model = train_embeddings(new_cross_encoder(backbone, len(heads)), recipe.train_embeddings)
        objective = rehearse(contrast(model, encoder, heads), imitate(model, untouched, encoder))
        fit(model, train, objective, schedules.sides, out / "sides")
        return mix_in_backbone(model, backbone, recipe.backbone_share)

    model = train_embeddings(made_once(out / "sides" / "model", taught_apart), recipe.train_embeddings)
    loss = gold_loss(heads, recipe.listwise_weight)
    fit(model, judged, pair_objective(model, encoder, loss), schedules.pairs, out)
    save_model(out, model, fit_calibrations(heads, predict_lists(model, encoder, valid), valid))
