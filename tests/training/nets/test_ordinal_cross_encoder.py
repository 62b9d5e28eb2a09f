"""The cross-encoder teacher: how it reads a pair, from which backbones, and that it is read back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import RobertaProcessing
from transformers import MPNetConfig, MPNetModel

from tests.support.tiny_encoder import WORDS
from training.errors import UserError
from training.nets.inference import encode_pairs, predict
from training.nets.ordinal_cross_encoder import (
    Ensemble,
    OrdinalCrossEncoder,
    PairTokenizer,
    load_ensemble,
    load_ordinal_cross_encoder,
    new_ordinal_cross_encoder,
    read_weights,
    weights_digest,
)

HEADS = ("relevance", "role", "skills")
MEMBERS, CANDIDATES = ["baker", "welder", "nurse"], ["oven", "steel oven ward", "ward"]


@pytest.fixture(scope="module")
def mpnet(backbone: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder without segment embeddings, with two separators between texts, and with [CLS] as an ordinary word."""
    folder = tmp_path_factory.mktemp("mpnet")
    described = json.loads((Path(backbone) / "tokenizer.json").read_text())
    words: dict[str, int] = described["model"]["vocab"]
    for name in ("<s>", "<pad>", "</s>"):
        words[name] = len(words)
    kept = [each for each in described["added_tokens"] if each["content"] == "[UNK]"]
    specials = [{**kept[0], "id": words[name], "content": name} for name in ("<s>", "<pad>", "</s>")]
    tokenizer = Tokenizer.from_str(json.dumps({**described, "added_tokens": kept + specials}))
    tokenizer.post_processor = RobertaProcessing(("</s>", words["</s>"]), ("<s>", words["<s>"]))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    MPNetModel(config).save_pretrained(folder)
    return str(folder)


def outputs(model: OrdinalCrossEncoder | Ensemble) -> np.ndarray:
    return predict(model, model.encoder, encode_pairs(model.encoder, MEMBERS, CANDIDATES))


@pytest.mark.parametrize("kind", ["backbone", "mpnet"])
def test_a_pair_is_read_as_the_tokenizer_itself_joins_it(kind: str, request: pytest.FixtureRequest) -> None:
    text = (Path(request.getfixturevalue(kind)) / "tokenizer.json").read_text()
    encoder = PairTokenizer(text, (8, 8))
    (pair,) = encode_pairs(encoder, ["baker"], ["steel oven"])
    given = encoder.collate([pair])
    tokenizer = Tokenizer.from_str(text)
    if kind == "mpnet":
        assert given["input_ids"][0].tolist() == tokenizer.encode("baker", "steel oven").ids
    words = [tokenizer.id_to_token(number) for number in given["input_ids"][0]]
    marks = {"backbone": ("[CLS]", "[SEP]"), "mpnet": ("<s>", "</s>")}[kind]
    between = [marks[1]] * (2 if kind == "mpnet" else 1)
    assert [word for word in words if word in marks] == [marks[0], *between, marks[1]]
    assert given["token_type_ids"][0].tolist() == sorted(given["token_type_ids"][0].tolist())
    assert words[given["token_type_ids"][0].tolist().index(1) - 1] == marks[1]


@pytest.mark.parametrize(("kind", "learns"), [("backbone", False), ("mpnet", True)])
def test_segments_come_from_the_backbone_where_it_has_them(
    kind: str, learns: bool, request: pytest.FixtureRequest
) -> None:
    model = new_ordinal_cross_encoder(request.getfixturevalue(kind), HEADS, (8, 8))
    assert (model.segments is not None) == learns
    found = outputs(model)
    assert found.shape == (3, 5 * len(HEADS))
    backbone: Any = model.backbone
    table = model.segments or backbone.embeddings.token_type_embeddings
    with torch.no_grad():
        table.weight[1] += torch.linspace(-1, 1, 32)
    assert np.abs(outputs(model) - found).max() > 1e-3


def test_what_shares_a_batch_changes_no_pair(mpnet: str) -> None:
    model = new_ordinal_cross_encoder(mpnet, HEADS, (8, 8))
    texts = zip(MEMBERS, CANDIDATES, strict=True)
    alone = [predict(model, model.encoder, encode_pairs(model.encoder, [one], [other])) for one, other in texts]
    np.testing.assert_allclose(outputs(model), np.concatenate(alone), atol=0.02)


def test_it_is_read_back_as_it_was_saved(mpnet: str, tmp_path: Path) -> None:
    model = new_ordinal_cross_encoder(mpnet, HEADS, (8, 6), seed=3)
    model.save(tmp_path / "model")
    loaded = load_ordinal_cross_encoder(tmp_path / "model")
    assert (loaded.heads, loaded.encoder.tokens) == (HEADS, (8, 6))
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert weights_digest(loaded) == weights_digest(model)
    assert weights_digest(new_ordinal_cross_encoder(mpnet, HEADS, (8, 6), seed=4)) != weights_digest(model)


def test_an_ensemble_says_the_mean_of_its_members(mpnet: str, tmp_path: Path) -> None:
    members = [new_ordinal_cross_encoder(mpnet, HEADS, (8, 8), seed) for seed in (0, 1)]
    Ensemble(members).save(tmp_path / "model")
    chances = [1 / (1 + np.exp(-outputs(member))) for member in members]
    mean = sum(chances) / 2
    assert np.abs(chances[0] - chances[1]).max() > 1e-3
    np.testing.assert_allclose(outputs(load_ensemble(tmp_path / "model")), np.log(mean / (1 - mean)), atol=1e-4)


def test_a_checkpoint_with_other_names_and_the_overall_grade_last_is_read(mpnet: str, tmp_path: Path) -> None:
    model = new_ordinal_cross_encoder(mpnet, HEADS, (8, 8), seed=5)
    state = {name.replace("backbone.", "net."): tensor.clone() for name, tensor in model.state_dict().items()}
    for name in ("head.2.weight", "head.2.bias"):
        state[name] = torch.cat([state[name][5:], state[name][:5]])
    state["net.pooler.dense.weight"] = torch.zeros(2, 2)
    torch.save({"model": state, "step": 7}, tmp_path / "last.pt")
    found = read_weights(tmp_path / "last.pt", new_ordinal_cross_encoder(mpnet, HEADS, (8, 8), seed=6))
    np.testing.assert_array_equal(outputs(found), outputs(model))


def test_weights_of_another_model_are_refused(mpnet: str, tmp_path: Path) -> None:
    model = new_ordinal_cross_encoder(mpnet, HEADS, (8, 8))
    torch.save(new_ordinal_cross_encoder(mpnet, HEADS[:1], (8, 8)).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: weights of another model: it has no head\.2\."):
        read_weights(tmp_path / "other.pt", model)
    (tmp_path / "text.pt").write_text("\n".join(WORDS))
    with pytest.raises(UserError, match=r"text\.pt: not a torch checkpoint"):
        read_weights(tmp_path / "text.pt", model)
