"""Step `teach`: gold grades -> a teacher that reads pairs whole, calibrated on validation lists it did not train on.

A small encoder learns first with both sides apart, then in pairs; the model between the phases stays in `sides/`. Lists
that nobody judged are rehearsed: on them it imitates its untouched backbone. With a decoder, that learns in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.text import TextEncoder
from training.data.lists import read_lists, some_of_each
from training.metrics.calibration import fit_calibrations
from training.nets.checkpoints import FlatTeacher, made_once, save_model
from training.nets.cross_encoder import CrossEncoder, mix_in_backbone, new_cross_encoder, train_embeddings
from training.nets.inference import predict_lists
from training.nets.llm_teacher import Decoder
from training.objectives.in_batch_negatives import contrast, imitate, rehearse
from training.objectives.losses import binary_kl, list_kl
from training.objectives.pairwise import ListLabels, ListLoss, pair_objective
from training.recipe import DecoderTeacher, Recipe
from training.trainer.distributed import SINGLE_PROCESS, ProcessGroup
from training.trainer.loop import TrainingStopped, fit


def gold_loss(heads: Sequence[str], listwise_weight: float) -> ListLoss:
    """Binary KL to the gain of each pair, plus a listwise term; the mean over heads."""

    def loss(logits_LCH: Tensor, batch: ListLabels) -> Tensor:
        terms = []
        for index, head in enumerate(heads):
            logits_LC, targets_LC, mask_LC = logits_LCH[..., index], batch.targets[head], batch.masks[head]
            pointwise = binary_kl(logits_LC, targets_LC, mask_LC)
            terms.append(pointwise + listwise_weight * list_kl(logits_LC, targets_LC, mask_LC))
        return torch.stack(terms).mean()

    return loss


def teach(
    recipe: Recipe,
    backbone: str,
    encoder: TextEncoder,
    data: Path,
    out: Path,
    *,
    decoder: Callable[[], Decoder] | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train the teacher of the heads that people grade and write it, with its calibration, to `out`.

    With `decoder`, the decoder learns in pairs, and students start from the encoder that learnt apart. The main process
    alone trains apart, because that needs a whole batch in one place. All `processes` train in pairs, and each predicts
    all calibration lists.
    """
    heads, schedules = recipe.policy_heads, recipe.teacher
    train = read_lists(data, heads, "train")
    judged = [each for each in train if each.is_judged]
    valid = some_of_each(read_lists(data, heads, "valid"), recipe.calibration_lists, recipe.seed)

    def taught_apart() -> CrossEncoder:
        untouched = new_cross_encoder(backbone, len(heads)).eval()
        model = train_embeddings(new_cross_encoder(backbone, len(heads)), recipe.train_embeddings)
        objective = rehearse(contrast(model, encoder, heads), imitate(model, untouched, encoder))
        fit(model, train, objective, schedules.sides, out / "sides")
        return mix_in_backbone(model, backbone, recipe.backbone_share)

    if processes.is_sharded and not decoder:
        raise TrainingStopped("FSDP2 is for decoders: launch the teaching of a small encoder without it")
    apart = made_once(out / "sides" / "model", taught_apart, processes)
    model: FlatTeacher = decoder() if decoder else train_embeddings(apart, recipe.train_embeddings)
    reading = model.pair_encoder(encoder)
    objective = pair_objective(model, reading, gold_loss(heads, recipe.listwise_weight))
    at_once = schedules.lists_at_once if isinstance(schedules, DecoderTeacher) else None
    fit(model, judged, objective, schedules.pairs, out, lists_at_once=at_once, processes=processes)
    save_model(out, model, fit_calibrations(heads, predict_lists(model, reading, valid), valid), processes)
