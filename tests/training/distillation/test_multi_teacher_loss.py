"""Several teachers' heads in one loss, and the warm start, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.distillation.multi_teacher_loss import distillation_loss, share_weights, take_heads, with_heads
from training.nets.cross_encoder import load_cross_encoder, new_cross_encoder
from training.nets.shapes import DOT
from training.nets.split_student import new_split_student
from training.objectives.losses import binary_kl
from training.objectives.pairwise import ListLabels
from training.objectives.position_bias import ActionCalibration
from training.steps.train_engagement_teacher import calibrated_teacher

FULL = torch.ones(1, 2, dtype=torch.bool)


def labels(gold: tuple[float, float] = (1.0, 0.0)) -> ListLabels:
    targets: dict[str, torch.Tensor] = {}
    masks: dict[str, torch.Tensor] = {}
    for head, logits in (("relevance", (1.0, -1.0)), ("apply", (0.0, 2.0))):
        targets[f"{head}_logit"] = torch.tensor([logits])
        targets[head] = torch.sigmoid(targets[f"{head}_logit"])
        targets[f"{head}_gold"] = torch.tensor([gold])
        masks |= dict.fromkeys((head, f"{head}_logit", f"{head}_gold"), FULL)
    return ListLabels(targets, masks)


def logits(relevance: tuple[float, float], apply: tuple[float, float]) -> torch.Tensor:
    return torch.tensor([[list(pair) for pair in zip(relevance, apply, strict=True)]])


def test_a_student_that_equals_its_teachers_has_no_loss() -> None:
    loss = distillation_loss({"relevance": 0.5, "apply": 0.5}, "softmax_kl", 1.0, 0.0)
    assert loss(logits((1.0, -1.0), (0.0, 2.0)), labels()).value().item() == pytest.approx(0.0, abs=1e-6)


def test_heads_count_by_their_weight() -> None:
    wrong_on_apply = logits((1.0, -1.0), (0.0, 0.0))
    alone = distillation_loss({"relevance": 0.0, "apply": 1.0}, "margin_mse", 0.0, 0.0)(
        wrong_on_apply, labels()
    ).value()
    fifth = distillation_loss({"relevance": 0.8, "apply": 0.2}, "margin_mse", 0.0, 0.0)(
        wrong_on_apply, labels()
    ).value()
    assert fifth.item() == pytest.approx(0.2 * alone.item())
    assert alone.item() > 0.1


def test_heads_of_a_teacher_share_its_weight_evenly() -> None:
    assert share_weights(["relevance"], ["click", "apply"], 0.3) == pytest.approx(
        {"relevance": 0.7, "click": 0.15, "apply": 0.15}
    )


def test_the_gold_anchor_pulls_towards_gold() -> None:
    found = logits((1.0, -1.0), (0.0, 2.0))
    anchored = distillation_loss({"relevance": 1.0, "apply": 0.0}, "softmax_kl", 1.0, 0.1)(found, labels()).value()
    gold = binary_kl(found[..., 0], torch.tensor([[1.0, 0.0]]), FULL).value
    assert anchored.item() == pytest.approx(0.1 * gold.item(), abs=1e-6)


def test_every_new_head_starts_as_the_relevance_student(backbone: str) -> None:
    student = new_cross_encoder(backbone, 1)
    with torch.no_grad():
        student.weight.mul_(torch.rand_like(student.weight))
    warm = with_heads(student, [0, 0, 0])
    members, candidates = torch.rand(2, student.weight.shape[1]), torch.rand(2, student.weight.shape[1])
    torch.testing.assert_close(warm.match(members, candidates), student.match(members, candidates).repeat(1, 3))
    with torch.no_grad():
        warm.weight[0] += 1
    assert student.num_heads == 1
    assert not torch.equal(warm.weight[0], warm.weight[1])


def test_heads_of_a_dot_product_start_as_the_given_ones(backbone: str) -> None:
    torch.manual_seed(0)
    student = new_split_student(new_cross_encoder(backbone, 2), DOT).eval()
    with torch.no_grad():
        for parameter in student.scorer.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
    warm = with_heads(student, [0, 1, 0, 0])
    tokens, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.long)
    encoding = student.encode(tokens, mask)
    slots = student.slots(encoding, mask).unsqueeze(1)
    inputs = (encoding.vector, slots, student.keys_values(encoding, mask), mask)
    torch.testing.assert_close(warm.scorer(*inputs), student.scorer(*inputs)[..., [0, 1, 0, 0]])
    assert (student.num_heads, warm.num_heads) == (2, 4)


def test_a_teacher_at_its_levels_computes_them_from_relevance(backbone: str) -> None:
    policy = new_cross_encoder(backbone, 1)
    levels = ActionCalibration(2)
    with torch.no_grad():
        levels.slope.copy_(torch.tensor([0.5, -0.2]))
        levels.level.copy_(torch.tensor([-1.0, 3.0]))
    members, candidates = torch.rand(4, policy.weight.shape[1]), torch.rand(4, policy.weight.shape[1])
    relevance = policy.match(members, candidates)
    found = calibrated_teacher(policy, levels).match(members, candidates)
    torch.testing.assert_close(found, torch.cat([0.5 * relevance - 1, -0.2 * relevance + 3], dim=1))
    torch.testing.assert_close(found, levels(relevance[:, 0]))


def test_a_teacher_with_appeal_is_as_its_first_fit_and_keeps_it_on_disk(backbone: str, tmp_path: Path) -> None:
    policy = new_cross_encoder(backbone, 1)
    width = policy.weight.shape[1]
    fitted = ActionCalibration.with_appeal([0.02, 0.5], width)
    members, candidates = torch.rand(4, width), torch.rand(4, width)
    relevance = policy.match(members, candidates)[:, 0]
    rates = torch.sigmoid(fitted(relevance, candidates))
    torch.testing.assert_close(rates, torch.tensor([0.02, 0.5]).expand(4, 2))
    with torch.no_grad():
        assert fitted.appeal is not None
        fitted.appeal.copy_(torch.rand(2, width))
    teacher = calibrated_teacher(policy, fitted)
    teacher.save(tmp_path / "model")
    for model in (teacher, load_cross_encoder(tmp_path / "model")):
        torch.testing.assert_close(model.match(members, candidates), fitted(relevance, candidates))


def test_taken_heads_equal_their_teacher_with_sides_apart(backbone: str) -> None:
    torch.manual_seed(0)
    policy, teacher = new_cross_encoder(backbone, 1), new_cross_encoder(backbone, 2)
    with torch.no_grad():
        teacher.weight.copy_(torch.rand_like(teacher.weight) - 0.5)
    student = take_heads(with_heads(new_split_student(policy, DOT).eval(), [0, 0, 0]), 1, teacher)
    tokens, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.long)
    encoding = student.encode(tokens, mask)
    slots = student.slots(encoding, mask).unsqueeze(1)
    found = student.scorer(encoding.vector, slots, student.keys_values(encoding, mask), mask)[0, 0]
    torch.testing.assert_close(found[1:], teacher.match(encoding.vector, encoding.vector)[0])
    torch.testing.assert_close(found[:1], policy.match(encoding.vector, encoding.vector)[0])
