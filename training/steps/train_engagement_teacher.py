"""Step `teach-engagement`: the log -> a teacher of actions, warm from the policy teacher, calibrated once looked at.

First how actions hang together with relevance, and the examination, on texts that the policy teacher has read once,
each side apart; then all of it, in pairs. Each teacher is retrained alone: this one sees no grade, the other no action.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.text import TextEncoder
from training.data.impressions import read_impressions
from training.data.lists import CandidateList, by_list
from training.distillation.multi_teacher_loss import with_heads
from training.nets.checkpoints import encoder_folder, save_model
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, train_embeddings
from training.nets.inference import predict_lists
from training.nets.shapes import SplitShape
from training.nets.split_student import new_split_student
from training.objectives.late_interaction import encode_sides, score_lists
from training.objectives.pairwise import ListLoss, label_lists, pair_objective
from training.objectives.position_bias import (
    ActionCalibration,
    ClickModel,
    Examination,
    calibrate_attractiveness,
    engagement_loss,
)
from training.recipe import EngagementPlan
from training.trainer.distributed import Objective
from training.trainer.loop import fit


def teach_engagement(
    plan: EngagementPlan,
    encoder: TextEncoder,
    log: Path,
    policy_teacher: Path,
    readings: Path,
    out: Path,
    *,
    embeddings: bool,
) -> None:
    """Train on the log's lists and write the teacher, its calibration and `examination.json` to `out`.

    `embeddings` says whether the backbone's own may move.
    """
    train, valid = (read_impressions(log / "impressions.parquet", plan.actions, split) for split in ("train", "valid"))
    policy = load_cross_encoder(encoder_folder(policy_teacher))
    examination = Examination(plan.places or 1)
    loss = engagement_loss(plan.actions, plan.rare, examination if plan.places else None)

    levels = ActionCalibration(len(plan.actions))
    apart = new_split_student(policy, SplitShape(pooled=0, joint_layers=0)).eval()
    logits = score_lists(apart, encode_sides(apart, encoder, train, readings), train)[:, 0]
    known = by_list(logits, train)
    relevance = {each.list_id: found for each, found in zip(train, known, strict=True)}
    fit(
        ClickModel(levels, examination),
        train,
        _levels_objective(levels, relevance, loss),
        plan.teacher.sides,
        out / "sides",
    )
    model = at_levels(policy, levels)

    objective = pair_objective(train_embeddings(model, embeddings), encoder, loss)
    fit(ClickModel(model, examination), train, objective, plan.teacher.pairs, out)
    curve = examination.curve() if plan.places else None
    write_examination(out, curve)
    save_model(out, model, calibrate_attractiveness(plan.actions, predict_lists(model, encoder, valid), valid, curve))


def _levels_objective(levels: ActionCalibration, relevance: Mapping[str, np.ndarray], loss: ListLoss) -> Objective:
    """Relevance, as the policy teacher has it of each list by its id, is all that is known of a pair."""

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        known = [torch.from_numpy(relevance[each.list_id]) for each in lists]
        return loss(levels(pad_sequence(known, batch_first=True)), label_lists(lists, levels.slope.device))

    return objective


@torch.no_grad()
def at_levels(policy: CrossEncoder, levels: ActionCalibration) -> CrossEncoder:
    """A teacher of actions that says of each pair what `levels` make of the policy teacher's first head."""
    model = with_heads(policy, [0] * len(levels.slope))
    model.weight.mul_(levels.slope.unsqueeze(1))
    model.bias.mul_(levels.slope).add_(levels.level)
    return model


def write_examination(folder: Path, curve: np.ndarray | None) -> None:
    """Keep how often each place is looked at, f64[P], compared with the first; None where no place was told apart."""
    listed = None if curve is None else curve.tolist()
    (folder / "examination.json").write_text(json.dumps(listed) + "\n", encoding="utf-8")


def read_examination(folder: Path) -> np.ndarray | None:
    """Read back what `write_examination` kept."""
    listed = json.loads((folder / "examination.json").read_text(encoding="utf-8"))
    return None if listed is None else np.array(listed)
