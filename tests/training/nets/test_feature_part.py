"""What features add to a student's logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.features import Feature, Features
from training.nets.cross_encoder import new_cross_encoder
from training.nets.feature_part import FeaturePart, load_feature_part
from training.nets.shapes import DOT
from training.nets.split_student import load_split_student, new_split_student

DECLARED = Features(
    (
        Feature(name="price", unit="EUR", low=0, high=200, default=50),
        Feature(name="km", unit="km", low=0, high=9, default=3),
    )
)


def drawn(num_heads: int = 2) -> FeaturePart:
    """A part with random weights."""
    torch.manual_seed(0)
    part = FeaturePart(DECLARED, num_heads)
    for parameter in part.parameters():
        torch.nn.init.normal_(parameter)
    return part.eval()


def test_a_new_part_changes_nothing() -> None:
    logits = torch.randn(3, 5, 4)
    assert torch.equal(FeaturePart(DECLARED, 2)(logits, torch.rand(3, 5, 2)), logits)


def test_only_heads_change_and_each_by_its_own_weights() -> None:
    logits, features = torch.randn(3, 5, 4), torch.rand(3, 5, 2)
    found = drawn()(logits, features)
    assert torch.equal(found[..., 2:], logits[..., 2:])
    other = logits.clone()
    other[..., 1] += 1
    assert torch.equal(drawn()(other, features)[..., 0], found[..., 0])
    assert not torch.equal(found[..., :2], logits[..., :2])


def test_a_feature_that_a_head_does_not_use_has_no_effect_on_it() -> None:
    part = drawn()
    part.used.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    logits, features = torch.randn(7, 2), torch.rand(7, 2)
    found = part(logits, features)
    assert torch.equal(found[:, 1], logits[:, 1])
    other = features.clone()
    other[:, 1] = 0.5
    assert torch.equal(part(logits, other), found)
    other[:, 0] = 0.5
    assert not torch.equal(part(logits, other)[:, 0], found[:, 0])


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    part = drawn()
    part.used[0, 1] = 0
    part.save(tmp_path)
    again = load_feature_part(tmp_path)
    assert again is not None
    assert again.declared == DECLARED
    logits, features = torch.randn(7, 2), torch.rand(7, 2)
    assert torch.equal(again(logits, features), part(logits, features))
    assert load_feature_part(tmp_path / "nothing") is None


@pytest.mark.parametrize("reads", [True, False])
def test_a_student_keeps_its_part(backbone: str, tmp_path: Path, reads: bool) -> None:
    student = new_split_student(new_cross_encoder(backbone, 2), DOT)
    student.feature_part = drawn() if reads else None
    student.save(tmp_path / "model")
    assert load_split_student(tmp_path / "model").features.names == (("price", "km") if reads else ())
    assert (tmp_path / "model" / "features.json").exists() == reads
    assert student.with_encoder_of(student.apart()).features == student.features
