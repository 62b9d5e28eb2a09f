"""Step `teach`: gold grades -> a flat cross-encoder teacher, calibrated on validation lists it did not train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from models.text import TextEncoder
from training.calibrate import fit_calibrations
from training.cross_encoder import load_cross_encoder, predict_lists
from training.data import read_lists
from training.fit import Loss, TrainBatch, fit
from training.losses import binary_kl, list_kl
from training.recipe import Recipe
from training.store import save_model


def gold_loss(heads: Sequence[str], listwise_weight: float) -> Loss:
    """Binary KL to the gain of each pair, plus a listwise term; the mean over heads."""

    def loss(logits_LCH: Tensor, batch: TrainBatch) -> Tensor:
        terms = []
        for index, head in enumerate(heads):
            logits_LC, targets_LC, mask_LC = logits_LCH[..., index], batch.targets[head], batch.masks[head]
            pointwise = binary_kl(logits_LC, targets_LC, mask_LC)
            terms.append(pointwise + listwise_weight * list_kl(logits_LC, targets_LC, mask_LC))
        return torch.stack(terms).mean()

    return loss


def freeze_embeddings(model: PreTrainedModel) -> None:
    """Keep the backbone's words as they are: what it knows of texts unlike the training data stays."""
    embeddings: Any = model.base_model.embeddings
    embeddings.requires_grad_(False)


def teach(recipe: Recipe, backbone: str, encoder: TextEncoder, data: Path, out: Path) -> None:
    """Train the teacher of all heads and write it, with its calibration, to `out`."""
    train = read_lists(data, recipe.head_names, "train")
    valid = read_lists(data, recipe.head_names, "valid")[: recipe.calibration_lists]
    model = load_cross_encoder(backbone, len(recipe.heads))
    if not recipe.train_embeddings:
        freeze_embeddings(model)
    fit(model, train, encoder, gold_loss(recipe.head_names, recipe.listwise_weight), recipe.teacher, out)
    logits = predict_lists(model, encoder, valid)
    save_model(out, model, fit_calibrations(recipe.head_names, logits, valid))
