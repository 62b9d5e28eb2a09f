"""Step `teach`: gold grades -> a flat cross-encoder teacher, calibrated on validation lists it did not train on.

First with both sides apart, then in pairs. The model between the phases stays in `sides/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.text import TextEncoder
from training.calibrate import fit_calibrations
from training.cross_encoder import (
    CrossEncoder,
    freeze_embeddings,
    load_cross_encoder,
    new_cross_encoder,
    predict_lists,
    save_cross_encoder,
)
from training.data import CandidateList, read_lists
from training.fit import fit
from training.losses import binary_kl, list_kl
from training.pairs import PairBatch, PairLoss, pair_objective
from training.recipe import Recipe
from training.sides import contrast
from training.store import save_model


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
    train = read_lists(data, recipe.head_names, "train")
    valid = read_lists(data, recipe.head_names, "valid")[: recipe.calibration_lists]
    model = _taught_apart(recipe, backbone, encoder, train, out / "sides")
    loss = gold_loss(recipe.head_names, recipe.listwise_weight)
    fit(model, train, pair_objective(model, encoder, loss), recipe.teacher.pairs, out)
    logits = predict_lists(model, encoder, valid)
    save_model(out, model, fit_calibrations(recipe.head_names, logits, valid))


def _taught_apart(
    recipe: Recipe, backbone: str, encoder: TextEncoder, train: Sequence[CandidateList], folder: Path
) -> CrossEncoder:
    """The first phase's model, ready for the second; not trained again when it stands in `folder`."""
    if not (folder / "model").exists():
        folder.mkdir(exist_ok=True)
        model = new_cross_encoder(backbone, len(recipe.heads))
        if not recipe.train_embeddings:
            freeze_embeddings(model)
        fit(model, train, contrast(model, encoder, recipe.head_names), recipe.teacher.sides, folder)
        save_cross_encoder(model, folder / "model")
    model = load_cross_encoder(folder / "model")
    if not recipe.train_embeddings:
        freeze_embeddings(model)
    return model
