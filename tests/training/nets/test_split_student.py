"""A split student without slots is the cosine of its teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.text import TextEncoder
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.nets.inference import to_tensors
from training.nets.items import Encoding
from training.nets.shapes import DOT, SplitShape
from training.nets.split_student import SplitStudent, new_split_student

MEMBERS = ("senior baker. dough, ovens", "nurse")
CANDIDATES = ("junior welder. steel", "senior baker", "a")


@pytest.fixture
def teacher(backbone: str) -> CrossEncoder:
    torch.manual_seed(0)
    return new_cross_encoder(backbone, 2).eval()


def read(student: SplitStudent, encoder: TextEncoder, ids: list[np.ndarray]) -> tuple[Encoding, Tensor]:
    inputs = to_tensors(encoder.collate_sides(ids), torch.device("cpu"))
    return student.encode(**inputs), inputs["attention_mask"]


def split_logits(student: SplitStudent, encoder: TextEncoder) -> Tensor:
    members, mask_MT = read(student, encoder, [encoder.member(text) for text in MEMBERS])
    others, mask_CT = read(student, encoder, encoder.candidates(CANDIDATES))
    slots_MCSD = student.slots(others, mask_CT).expand(len(MEMBERS), -1, -1, -1)
    found: Tensor = student.scorer(members.vector, slots_MCSD, student.keys_values(members, mask_MT), mask_MT)
    return found


@torch.inference_mode()
def test_a_dot_product_starts_as_the_teachers_cosine(teacher: CrossEncoder, encoder: TextEncoder) -> None:
    student = new_split_student(teacher, DOT).eval()
    device = torch.device("cpu")
    members = teacher.embed(**to_tensors(encoder.collate_sides([encoder.member(text) for text in MEMBERS]), device))
    others = teacher.embed(**to_tensors(encoder.collate_sides(encoder.candidates(CANDIDATES)), device))
    cosine = teacher.match(members.unsqueeze(1), others.unsqueeze(0))
    torch.testing.assert_close(split_logits(student, encoder), cosine, rtol=0, atol=1e-4)


def test_slots_without_a_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        SplitShape(slots=2)
