"""A student of relevance learns from a second teacher and keeps relevance, by the weights of its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from tests.support.two_questions import HEADS, labelled
from training.data.lists import CandidateList
from training.distillation.loss_weight_sweep import Predict, sweep_loss_weights
from training.distillation.multi_teacher_loss import distillation_loss, share_weights, with_heads
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.nets.inference import predict_lists
from training.objectives.pairwise import pair_objective
from training.recipe import ActionHeadsPlan, HeadNames
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

SCHEDULE = Schedule(steps=80, lists_per_step=6, learning_rate=2e-3, added_learning_rate=1e-2)


@pytest.fixture
def relevance_student(backbone: str, encoder: TextEncoder, tmp_path: Path) -> CrossEncoder:
    torch.manual_seed(0)
    student = new_cross_encoder(backbone, 1)
    loss = distillation_loss({"relevance": 1.0}, "softmax_kl", 1.0, 0.1)
    fit(student, labelled(), pair_objective(student, encoder, loss), SCHEDULE, tmp_path / "relevance")
    return student


def test_shares_of_two_teachers(relevance_student: CrossEncoder, encoder: TextEncoder, tmp_path: Path) -> None:
    def train(share: float) -> Predict:
        student = with_heads(relevance_student, [0, 0])
        loss = distillation_loss(share_weights(["relevance"], ["click"], share), "softmax_kl", 1.0, 0.1)
        fit(student, labelled(), pair_objective(student, encoder, loss), SCHEDULE, tmp_path / f"share-{share}")

        def judge(some: Sequence[CandidateList]) -> np.ndarray:
            return predict_lists(student, encoder, some)

        return judge

    seen = [replace(each, labels={head: each.labels[f"{head}_gold"] for head in HEADS}) for each in labelled()]
    plan = ActionHeadsPlan(share=0.5, shares=(0.0,))
    found = sweep_loss_weights(plan, HeadNames(("relevance",), ("click",)), seen, train)
    alone, both = found.points
    assert alone.relevance.mean == 1.0
    # its click head still says what fits: right for the baker, wrong for the two others
    assert alone.engagement.mean < 0.9
    assert both.relevance.mean == 1.0
    assert both.engagement.mean == 1.0
