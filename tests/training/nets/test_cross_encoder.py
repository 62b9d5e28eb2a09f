"""The cross-encoder: apart it is the cosine, together it is not; layers are copied, files are read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.evaluation.baselines import cosine_scores
from training.nets.cross_encoder import (
    NEVER,
    SCALE,
    CrossEncoder,
    keep_layers,
    load_cross_encoder,
    mix_in_backbone,
    new_cross_encoder,
    train_embeddings,
)
from training.nets.inference import encode_lists, predict, to_tensors

LISTS = [CandidateList("a", "s", "baker nurse", ("oven", "steel ward steel", "ward oven"), {"fit": np.zeros(3)})]
CPU = torch.device("cpu")


@pytest.fixture
def model(backbone: str) -> CrossEncoder:
    return new_cross_encoder(backbone, 2).eval()


@torch.inference_mode()
def together(model: CrossEncoder, encoder: TextEncoder) -> Tensor:
    logits: Tensor = model(**to_tensors(encoder.collate(encode_lists(encoder, LISTS)), CPU))
    return logits


@torch.inference_mode()
def apart(model: CrossEncoder, encoder: TextEncoder) -> Tensor:
    members = model.embed(**to_tensors(encoder.collate_sides([encoder.member(LISTS[0].member)]), CPU))
    ids = encoder.candidates(LISTS[0].candidates)
    return model.match(members, model.embed(**to_tensors(encoder.collate_sides(ids), CPU)))


def test_with_crossing_closed_a_pair_equals_its_sides_read_apart(model: CrossEncoder, encoder: TextEncoder) -> None:
    model.crossing.data.fill_(NEVER)
    torch.testing.assert_close(together(model, encoder), apart(model, encoder), atol=1e-4, rtol=0)


def test_with_crossing_open_it_differs(model: CrossEncoder, encoder: TextEncoder) -> None:
    model.crossing.data.fill_(0.0)
    assert (together(model, encoder) - apart(model, encoder)).abs().max() > 1e-2


def test_untrained_every_head_is_the_scaled_cosine(model: CrossEncoder, encoder: TextEncoder) -> None:
    logits = apart(model, encoder)
    assert torch.equal(logits[:, 0], logits[:, 1])
    assert ((logits >= -30) & (logits <= 10)).all()  # 20 * [-1, 1] - 10


def test_untrained_it_ranks_as_its_sentence_encoder(model: CrossEncoder, encoder: TextEncoder, backbone: str) -> None:
    """Training must start from all that the backbone knows, also of short candidates."""
    cosines = torch.from_numpy(np.concatenate(cosine_scores(LISTS, backbone, max_tokens=64)))
    torch.testing.assert_close(apart(model, encoder)[:, 0], SCALE * cosines - SCALE / 2, atol=0.1, rtol=0)


def test_crossing_and_heads_are_learnt(model: CrossEncoder, encoder: TextEncoder) -> None:
    model(**to_tensors(encoder.collate(encode_lists(encoder, LISTS)), CPU)).sum().backward()
    for name in ("crossing", "weight", "bias"):
        gradient = getattr(model, name).grad
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_padding_changes_no_pair(model: CrossEncoder, encoder: TextEncoder) -> None:
    model.crossing.data.fill_(-1.0)
    with torch.inference_mode():
        alone = torch.cat(
            [model(**to_tensors(encoder.collate([pair]), CPU, multiple=16)) for pair in encode_lists(encoder, LISTS)]
        )
    torch.testing.assert_close(together(model, encoder), alone, atol=1e-4, rtol=0)


def test_a_model_comes_back_from_its_folder(model: CrossEncoder, encoder: TextEncoder, tmp_path: Path) -> None:
    for name in ("crossing", "weight", "bias"):
        getattr(model, name).data.add_(torch.rand_like(getattr(model, name)))
    model.save(tmp_path / "model")
    loaded = load_cross_encoder(tmp_path / "model").eval()
    assert loaded.num_heads == 2
    assert torch.equal(together(loaded, encoder), together(model, encoder))


def test_a_student_starts_as_layers_of_its_teacher(model: CrossEncoder, encoder: TextEncoder, tmp_path: Path) -> None:
    student = keep_layers(model, (1,))
    kept: Any = student.backbone.encoder
    original: Any = model.backbone.encoder
    assert len(kept.layer) == 1
    assert all(
        torch.equal(a, b) for a, b in zip(kept.layer[0].parameters(), original.layer[1].parameters(), strict=True)
    )
    student.save(tmp_path / "model")
    assert torch.equal(
        together(load_cross_encoder(tmp_path / "model").eval(), encoder), together(student.eval(), encoder)
    )


def test_frozen_embeddings_get_no_gradient(model: CrossEncoder, encoder: TextEncoder) -> None:
    train_embeddings(model, wanted=False)
    model(**to_tensors(encoder.collate(encode_lists(encoder, LISTS)), CPU)).sum().backward()
    by_name = dict(model.named_parameters())
    assert by_name["backbone.embeddings.word_embeddings.weight"].grad is None
    assert by_name["backbone.encoder.layer.0.output.dense.weight"].grad is not None


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_mixing_moves_only_the_backbone_and_by_its_share(model: CrossEncoder, backbone: str, share: float) -> None:
    name = "encoder.layer.0.output.dense.weight"
    before = model.backbone.state_dict()[name].clone()
    model.backbone.state_dict()[name].add_(1.0)
    model.bias.data.fill_(3.0)
    mix_in_backbone(model, backbone, share)
    torch.testing.assert_close(model.backbone.state_dict()[name], before + 1 - share)
    assert model.bias.tolist() == [3.0, 3.0]


def test_predictions_keep_the_given_order_for_any_batches(model: CrossEncoder, encoder: TextEncoder) -> None:
    pairs = encode_lists(encoder, LISTS)
    all_at_once = predict(model, encoder, pairs)
    alone = np.concatenate([predict(model, encoder, [pair]) for pair in pairs])
    np.testing.assert_allclose(all_at_once, alone, atol=0.3)  # bf16 autocast, and a scale of 20
    assert len(np.unique(np.round(alone[:, 0], 2))) == 3
