"""The split student equals the masked flat form of itself, and starts as the cosine of its teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.text import TextEncoder
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.nets.inference import to_tensors
from training.nets.items import Encoding
from training.nets.joint.layer import JointLayer
from training.nets.shapes import SplitShape
from training.nets.split_student import SplitStudent, new_split_student
from training.steps.architecture_sweep import name_of

MEMBERS = ("senior baker. dough, ovens", "nurse")
CANDIDATES = ("junior welder. steel", "senior baker", "a")
SHAPES = [SplitShape(2, 2), SplitShape(2, 2, pooling="firsts"), SplitShape(2, 2, pooling="queries")]


@pytest.fixture
def teacher(backbone: str) -> CrossEncoder:
    torch.manual_seed(0)
    return new_cross_encoder(backbone, 2).eval()


def moved(student: SplitStudent) -> SplitStudent:
    """Moved from its initial state, so that every part matters."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in student.scorer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return student.eval()


def read(student: SplitStudent, encoder: TextEncoder, ids: list[np.ndarray]) -> tuple[Encoding, Tensor]:
    inputs = to_tensors(encoder.collate_sides(ids), torch.device("cpu"))
    return student.encode(**inputs), inputs["attention_mask"]


def split_logits(student: SplitStudent, encoder: TextEncoder) -> Tensor:
    members, mask_MT = read(student, encoder, [encoder.member(text) for text in MEMBERS])
    others, mask_CT = read(student, encoder, encoder.candidates(CANDIDATES))
    slots_MCSD = student.slots(others, mask_CT).expand(len(MEMBERS), -1, -1, -1)
    found: Tensor = student.scorer(members.vector, slots_MCSD, student.keys_values(members, mask_MT), mask_MT)
    return found


def flat_layer(layer: JointLayer, states_TD: Tensor, may_read_TT: Tensor) -> Tensor:
    """The layer over one sequence under a mask: what the split form must equal."""
    heads = layer.num_attention_heads
    queries, keys, values = (
        part(states_TD).unflatten(-1, (heads, -1)).transpose(0, 1) for part in (layer.query, layer.key, layer.value)
    )
    weights = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
    attended = torch.softmax(weights.masked_fill(~may_read_TT, float("-inf")), dim=-1) @ values
    states_TD = layer.attended_norm(states_TD + layer.attended(attended.transpose(0, 1).flatten(1)))
    finished: Tensor = layer.norm(states_TD + layer.down(torch.nn.functional.gelu(layer.up(states_TD))))
    return finished


def flat_logits(student: SplitStudent, encoder: TextEncoder, *, symmetric: bool = False) -> Tensor:
    """Each pair as one sequence of member tokens and slots; slots attend to all, members to members only."""
    pooled = student.shape.pooled
    rows = []
    for member_text in MEMBERS:
        member, _ = read(student, encoder, [encoder.member(member_text)])
        for candidate_text in CANDIDATES:
            other, mask_1T = read(student, encoder, encoder.candidates([candidate_text]))
            slots_1SD = student.slots(other, mask_1T)
            states_TD = torch.cat([member.states[0], slots_1SD[0, 1:]])
            may_read_TT = torch.ones(len(states_TD), len(states_TD), dtype=torch.bool)
            may_read_TT[:-pooled, -pooled:] = symmetric
            for layer in student.scorer.joint_layers:
                states_TD = flat_layer(layer, states_TD, may_read_TT)
            cosine = student.scorer.cosine(member.vector, slots_1SD.unsqueeze(0))[0, 0]
            agreement = 20.0 * member.vector[0] * slots_1SD[0, 0]
            rows.append(cosine + student.scorer.readout(torch.cat([states_TD[-pooled:].mean(0), agreement])))
    return torch.stack(rows).view(len(MEMBERS), len(CANDIDATES), -1)


@torch.inference_mode()
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_the_split_form_equals_the_masked_flat_form(
    teacher: CrossEncoder, encoder: TextEncoder, shape: SplitShape
) -> None:
    student = moved(new_split_student(teacher, shape))
    torch.testing.assert_close(split_logits(student, encoder), flat_logits(student, encoder), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_a_member_that_attends_to_the_candidate_gives_other_logits(teacher: CrossEncoder, encoder: TextEncoder) -> None:
    student = moved(new_split_student(teacher, SplitShape(2, 2)))
    gap = (split_logits(student, encoder) - flat_logits(student, encoder, symmetric=True)).abs().max()
    assert gap > 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("shape", [SplitShape(0, 0), SplitShape(2, 1), SplitShape(3, 2, feed_forward=16), SHAPES[-1]])
def test_it_starts_as_the_teachers_cosine(teacher: CrossEncoder, encoder: TextEncoder, shape: SplitShape) -> None:
    student = new_split_student(teacher, shape).eval()
    device = torch.device("cpu")
    members = teacher.embed(**to_tensors(encoder.collate_sides([encoder.member(text) for text in MEMBERS]), device))
    others = teacher.embed(**to_tensors(encoder.collate_sides(encoder.candidates(CANDIDATES)), device))
    cosine = teacher.match(members.unsqueeze(1), others.unsqueeze(0))
    torch.testing.assert_close(split_logits(student, encoder), cosine, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_joint_layers_start_as_the_encoders_own(teacher: CrossEncoder, encoder: TextEncoder) -> None:
    student = new_split_student(teacher, SplitShape(2, 2)).eval()
    inputs = to_tensors(encoder.collate_sides([encoder.member(text) for text in MEMBERS]), torch.device("cpu"))
    reading, mask_MT = student.encode(**inputs), inputs["attention_mask"]
    states = reading.states
    for layer in student.scorer.joint_layers:
        states = layer.self_attend(states, (1 - mask_MT.float()) * -1e4)
    expected = teacher.backbone(**inputs).last_hidden_state
    torch.testing.assert_close(states[mask_MT == 1], expected[mask_MT == 1], rtol=0, atol=1e-4)


def test_slots_without_joint_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        SplitShape(pooled=2, joint_layers=0)
