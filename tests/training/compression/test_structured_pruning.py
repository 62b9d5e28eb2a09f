"""Structured pruning: exact shapes, dead units go first, and important units stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from models.text import TextEncoder
from tests.support.tiny_encoder import WORDS
from training.compression.structured_pruning import keep_units, prune, second_moments
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, new_cross_encoder
from training.nets.inference import to_tensors

UNITS = 64
TEXTS = [" ".join(WORDS[place % 6] for place in range(start, start + 1 + start % 5)) for start in range(24)]


@pytest.fixture
def model(backbone: str) -> CrossEncoder:
    return new_cross_encoder(backbone, 1).cpu().eval()


def batches(encoder: TextEncoder) -> list[dict[str, Tensor]]:
    ids = encoder.candidates(TEXTS)
    sides = [encoder.collate_sides(ids[start : start + 8]) for start in range(0, len(ids), 8)]
    return [to_tensors(inputs, torch.device("cpu"), multiple=16) for inputs in sides]


@torch.inference_mode()
def states(backbone: PreTrainedModel, encoder: TextEncoder) -> Tensor:
    """Of all real tokens, f32[tokens, D]."""
    return torch.cat([backbone(**each).last_hidden_state[each["attention_mask"].bool()] for each in batches(encoder)])


def layers(backbone: PreTrainedModel) -> list[Any]:
    encoder: Any = backbone.encoder
    return list(encoder.layer)


def kill(backbone: PreTrainedModel, dead: Tensor, *, at: str) -> None:
    """Units without a reader, or with constant output 0 (gelu(0) = 0)."""
    for layer in layers(backbone):
        if at == "unread":
            layer.output.dense.weight.data[:, dead] = 0
        else:
            layer.intermediate.dense.weight.data[dead] = 0
            layer.intermediate.dense.bias.data[dead] = 0


@pytest.mark.parametrize("at", ["unread", "silent"])
def test_dead_units_are_removed_and_no_output_changes(model: CrossEncoder, encoder: TextEncoder, at: str) -> None:
    dead = torch.randperm(UNITS, generator=torch.Generator().manual_seed(0))[: UNITS // 2]
    kill(model.backbone, dead, at=at)
    pruned = prune(model.backbone, 0.5, second_moments(model.backbone, batches(encoder)))
    alive = sorted(set(range(UNITS)) - set(dead.tolist()))
    for layer, whole in zip(layers(pruned), layers(model.backbone), strict=True):
        assert torch.equal(layer.intermediate.dense.weight, whole.intermediate.dense.weight[alive])
    torch.testing.assert_close(states(pruned, encoder), states(model.backbone, encoder), atol=1e-5, rtol=0)


def test_removing_live_units_changes_outputs(model: CrossEncoder, encoder: TextEncoder) -> None:
    """The control of the test above."""
    pruned = prune(model.backbone, 0.5, second_moments(model.backbone, batches(encoder)))
    assert (states(pruned, encoder) - states(model.backbone, encoder)).abs().max() > 0.01


def test_the_result_is_a_narrower_encoder_and_loads_from_its_folder(
    model: CrossEncoder, encoder: TextEncoder, tmp_path: Path
) -> None:
    moments = second_moments(model.backbone, batches(encoder))
    before = states(model.backbone, encoder)
    model.backbone, whole = prune(model.backbone, 0.75, moments), model.backbone
    assert torch.equal(states(whole, encoder), before)
    assert (model.backbone.config.intermediate_size, whole.config.intermediate_size) == (48, UNITS)
    assert {layer.intermediate.dense.weight.shape for layer in layers(model.backbone)} == {(48, 32)}
    assert {layer.output.dense.weight.shape for layer in layers(model.backbone)} == {(32, 48)}
    model.save(tmp_path / "model")
    loaded = load_cross_encoder(tmp_path / "model").cpu().eval()
    assert torch.equal(states(loaded.backbone, encoder), states(model.backbone, encoder))


def test_removal_by_importance_costs_less_than_any_random_removal(model: CrossEncoder, encoder: TextEncoder) -> None:
    generator = torch.Generator().manual_seed(0)
    for layer in layers(model.backbone):  # units of all sizes, as training makes them
        layer.output.dense.weight.data *= 4 ** torch.randn(UNITS, generator=generator)
    moments, whole = second_moments(model.backbone, batches(encoder)), states(model.backbone, encoder)

    def lost(pruned: PreTrainedModel) -> float:
        return float((states(pruned, encoder) - whole).square().mean())

    drawn = [[torch.randperm(UNITS, generator=generator)[:16].sort().values for _ in moments] for _ in range(5)]
    at_random = [lost(keep_units(model.backbone, moments, units)) for units in drawn]
    assert lost(prune(model.backbone, 0.25, moments)) < min(at_random) / 2


def test_kept_units_compensate_for_removed_ones(model: CrossEncoder, encoder: TextEncoder) -> None:
    """One of two equal units is removed: the other takes over its weight."""
    for layer in layers(model.backbone):
        up, down = layer.intermediate.dense, layer.output.dense
        up.weight.data[1], up.bias.data[1] = up.weight.data[0], up.bias.data[0]
        down.weight.data[:, 0] += 1.0
    moments, whole = second_moments(model.backbone, batches(encoder)), states(model.backbone, encoder)
    kept = [torch.arange(1, UNITS) for _ in moments]
    made_up = keep_units(model.backbone, moments, kept)
    cut = keep_units(model.backbone, [torch.eye(UNITS + 1, dtype=torch.float64) for _ in moments], kept)
    lost = [(states(each, encoder) - whole).square().mean().item() for each in (made_up, cut)]
    assert lost[0] < lost[1] / 100


def test_padding_does_not_affect_importance(model: CrossEncoder, encoder: TextEncoder) -> None:
    together = second_moments(model.backbone, batches(encoder))
    ids = encoder.candidates(TEXTS)
    one_by_one = [to_tensors(encoder.collate_sides([each]), torch.device("cpu")) for each in ids]
    for moment, alone in zip(together, second_moments(model.backbone, one_by_one), strict=True):
        assert moment[-1, -1] == 1
        torch.testing.assert_close(moment, alone, atol=1e-4, rtol=1e-3)
