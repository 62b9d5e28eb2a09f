"""Step `teach-engagement`: the log -> a teacher of actions, initialized from the encoder of step `start`.

First it fits how each action depends on relevance, and the examination, on texts that this encoder reads once
with both sides apart; then all weights, in pairs. Its calibration is of examined candidates: P(action | examined). Each
teacher is retrained alone: this one sees no grade, the other no action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.text import TextEncoder
from training.data.impressions import SHOWN, read_impressions
from training.data.lists import CandidateList, by_list
from training.distillation.multi_teacher_loss import with_heads
from training.files import read_json, write_json
from training.nets.checkpoints import save_model
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, train_embeddings
from training.nets.inference import predict_lists
from training.nets.shapes import DOT
from training.nets.split_student import new_split_student
from training.objectives.dot_product import embed_sides, score_lists
from training.objectives.pairwise import ListLoss, label_lists, pair_objective
from training.objectives.position_bias import (
    ActionCalibration,
    ClickModel,
    Examination,
    calibrate_attractiveness,
    engagement_loss,
)
from training.recipe import ClickModelPlan, TextPlan
from training.step_runner import Resources, Step
from training.steps.start import text_encoder
from training.trainer.distributed import Objective
from training.trainer.loop import fit

EXAMINATION = "examination.json"


@dataclass(frozen=True)
class EngagementTeacherPlan:
    """The actions, and how their teacher learns; `click_model` is None in a recipe without one."""

    actions: tuple[str, ...]
    click_model: ClickModelPlan | None
    text: TextPlan
    train_embeddings: bool


@dataclass(frozen=True)
class EngagementTeacherInputs:
    log: Path
    start: Path


def teach_engagement(
    plan: EngagementTeacherPlan, inputs: EngagementTeacherInputs, out: Path, resources: Resources
) -> None:
    """Train on the log's lists; write the teacher, its calibration and `examination.json`."""
    if plan.click_model is None:
        (out / "none.txt").write_text("the recipe has no engagement teacher\n", encoding="utf-8")
        return
    encoder, clicks = text_encoder(plan.text, resources, plan.text.training_tokens), plan.click_model
    impressions = inputs.log / "impressions.parquet"
    train, valid = (read_impressions(impressions, plan.actions, split) for split in ("train", "valid"))
    start = load_cross_encoder(inputs.start / "model")
    examination = Examination(clicks.places or 1)
    loss = engagement_loss(plan.actions, clicks.rare, examination if clicks.places else None, clicks.listwise_weight)

    read = _read_apart(start, encoder, train, resources.embeddings)
    calibration = ActionCalibration(len(plan.actions))
    if clicks.appeal:
        calibration = ActionCalibration.with_appeal(_rates(plan.actions, train), read.vectors[0].shape[-1])
    objective = _calibration_objective(calibration, read, loss)
    fit(ClickModel(calibration, examination), train, objective, clicks.phases.sides, out / "sides")

    model = calibrated_teacher(start, calibration)
    objective = pair_objective(train_embeddings(model, plan.train_embeddings), encoder, loss)
    fit(ClickModel(model, examination), train, objective, clicks.phases.pairs, out)
    curve = examination.curve() if clicks.places else None
    write_json(out / EXAMINATION, None if curve is None else curve.tolist())
    save_model(out, model, calibrate_attractiveness(plan.actions, predict_lists(model, encoder, valid), valid, curve))


@dataclass(frozen=True)
class ReadApart:
    """What the encoder makes of lists with both sides read apart: logits f32[C] and embeddings f32[C, D] of each.

    `rows` has each list's place by its id.
    """

    rows: Mapping[str, int]
    relevance: Sequence[Tensor]
    vectors: Sequence[Tensor]


def _read_apart(
    start: CrossEncoder, encoder: TextEncoder, lists: Sequence[CandidateList], embeddings: Path
) -> ReadApart:
    apart = new_split_student(start, DOT).eval()
    sides = embed_sides(apart, encoder, lists, embeddings)
    logits = score_lists(apart, sides, lists)[:, 0]
    return ReadApart(
        {each.list_id: row for row, each in enumerate(lists)},
        [torch.from_numpy(found) for found in by_list(logits, lists)],
        [sides.candidates.select(list(each.candidates)) for each in lists],
    )


def _rates(actions: Sequence[str], lists: Sequence[CandidateList]) -> list[float]:
    """Each action's share of all times shown."""
    times = np.concatenate([each.labels[SHOWN] for each in lists])
    return [
        float((np.concatenate([each.labels[name] for each in lists]) * times).sum() / times.sum()) for name in actions
    ]


def _calibration_objective(calibration: ActionCalibration, read: ReadApart, loss: ListLoss) -> Objective:
    """The loss of a teacher that sees only what the encoder made of texts."""

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        rows = [read.rows[each.list_id] for each in lists]
        relevance, vectors = ([of[row] for row in rows] for of in (read.relevance, read.vectors))
        logits_LCH = calibration(pad_sequence(relevance, batch_first=True), pad_sequence(vectors, batch_first=True))
        return loss(logits_LCH, label_lists(lists, logits_LCH.device)).value()

    return objective


@torch.no_grad()
def calibrated_teacher(start: CrossEncoder, calibration: ActionCalibration) -> CrossEncoder:
    """A teacher of actions whose logits are the first head of `start` through `calibration`, with its appeal."""
    model = with_heads(start, [0] * len(calibration.slope))
    model.weight.mul_(calibration.slope.unsqueeze(1))
    model.bias.mul_(calibration.slope).add_(calibration.level)
    if calibration.appeal is not None:
        model.appeal = nn.Parameter(calibration.appeal.detach().clone())
    return model


def read_examination(folder: Path) -> np.ndarray | None:
    """P(examined) of each place as a ratio to the first, f64[P]; None if the plan tells no places apart."""
    listed = read_json(folder / EXAMINATION)
    return None if listed is None else np.array(listed)


TEACH_ENGAGEMENT = Step(
    "teach-engagement",
    lambda recipe: EngagementTeacherPlan(
        recipe.head_names.actions,
        recipe.engagement.teacher if recipe.engagement else None,
        recipe.text,
        recipe.training.train_embeddings,
    ),
    EngagementTeacherInputs,
    teach_engagement,
)
