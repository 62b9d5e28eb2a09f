"""The reader of pairs: apart it is its backbone, together each text reads the other; the rule; and what is saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import RobertaProcessing
from torch import Tensor
from transformers import MPNetConfig, MPNetModel

from training.nets.checkpoints import Ensemble, load_ensemble, weights_digest
from training.nets.inference import encode_pairs, predict, to_tensors
from training.nets.item_scorer import Rule
from training.nets.pair_reader import PairReader, load_pair_reader, new_pair_reader
from training.policy.documents import POLICIES
from training.policy.parser import read_policy

POLICY = read_policy(POLICIES / "demo.md")
HEADS = ("relevance", *POLICY.dimension_names)
SLOTS = (4, 16)
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


def reader(folder: str, seed: int = 0, rule: Rule | None = None) -> PairReader:
    """Moved from its start, so that every part matters; its layers attend sharply."""
    model = new_pair_reader(folder, HEADS, (8, 8), SLOTS, rule, seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.backbone.named_parameters():
            parameter.mul_(10 if parameter.dim() > 1 and "encoder.layer" in name else 1)
        for parameter in model.scorer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def outputs(model: PairReader | Ensemble) -> np.ndarray:
    return predict(model, model.encoder, encode_pairs(model.encoder, MEMBERS, CANDIDATES))


def exact(model: PairReader, members: list[str], candidates: list[str]) -> Tensor:
    """In fp32."""
    inputs = model.encoder.collate(encode_pairs(model.encoder, members, candidates))
    with torch.inference_mode():
        found: Tensor = model(**to_tensors(inputs, model.device))
    return found


@pytest.fixture(params=["backbone", "mpnet"])
def folder(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


def test_closed_it_answers_as_if_both_texts_were_read_apart(folder: str) -> None:
    model = reader(folder)
    apart = exact(model, MEMBERS, CANDIDATES)
    model.read_together(wanted=True)
    with torch.no_grad():
        model.crossing.fill_(-1e4)
        closed = exact(model, MEMBERS, CANDIDATES)
        model.crossing.fill_(0)
        opened = exact(model, MEMBERS, CANDIDATES)
    rounding = (closed - apart).abs().max()  # what is kept of a text is fp16, and slots are whole numbers
    assert rounding < 0.1
    assert (opened - apart).abs().max() > 5 * rounding


def test_what_shares_a_batch_changes_no_pair(folder: str) -> None:
    model = reader(folder).read_together(wanted=True)
    texts = zip(MEMBERS, CANDIDATES, strict=True)
    alone = torch.cat([exact(model, [one], [other]) for one, other in texts])
    torch.testing.assert_close(exact(model, MEMBERS, CANDIDATES), alone, rtol=0, atol=1e-3)


def test_a_text_is_read_once_by_the_frozen_layers(mpnet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = reader(mpnet)
    first = outputs(model)
    monkeypatch.setattr(type(model.backbone), "forward", lambda *_, **__: pytest.fail("read again"))
    np.testing.assert_array_equal(outputs(model), first)


@pytest.mark.parametrize("together", [False, True])
def test_only_what_may_learn_gets_gradients(mpnet: str, together: bool) -> None:
    model = reader(mpnet).read_together(wanted=together)
    model(
        **to_tensors(model.encoder.collate(encode_pairs(model.encoder, MEMBERS, CANDIDATES)), model.device)
    ).sum().backward()
    learning = {name for name, each in model.named_parameters() if each.grad is not None and each.grad.abs().max() > 0}
    assert any(name.startswith("scorer.") for name in learning)
    assert ("crossing" in learning) == together
    layers = {name.split(".")[3] for name in learning if name.startswith("backbone.encoder.layer")}
    assert layers == ({"1"} if together else set())
    assert not any(name.startswith("backbone.embeddings") for name in learning)


def test_the_overall_grade_is_the_mean_of_its_head_and_of_the_rule(mpnet: str) -> None:
    own, ruled = (
        exact(reader(mpnet, rule=rule), MEMBERS, CANDIDATES).unflatten(1, (len(HEADS), -1)).sigmoid()
        for rule in (None, Rule.of(POLICY))
    )
    by_rule = Rule.of(POLICY)(own[:, 1:, :4], own[:, 1:, 4])
    torch.testing.assert_close(ruled[:, 0, :4], (own[:, 0, :4] + by_rule) / 2, rtol=0, atol=1e-4)
    assert (by_rule - own[:, 0, :4]).abs().max() > 0.05
    torch.testing.assert_close(ruled[:, 1:], own[:, 1:], rtol=0, atol=1e-5)


def test_it_is_read_back_as_it_was_saved(mpnet: str, tmp_path: Path) -> None:
    model = reader(mpnet, seed=3, rule=Rule.of(POLICY)).read_together(wanted=True)
    model.save(tmp_path / "model")
    loaded = load_pair_reader(tmp_path / "model")
    assert (loaded.heads, loaded.encoder.tokens) == (HEADS, (8, 8))
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert weights_digest(loaded) == weights_digest(model)
    assert weights_digest(reader(mpnet, seed=4, rule=Rule.of(POLICY))) != weights_digest(model)


def test_a_slot_has_as_many_numbers_as_divide_the_backbones_width(mpnet: str) -> None:
    assert new_pair_reader(mpnet, HEADS, (8, 8), (4, 256)).slots == (4, 32)


def test_an_ensemble_says_the_mean_of_its_members(mpnet: str, backbone: str, tmp_path: Path) -> None:
    members = [reader(mpnet), reader(backbone, 1)]  # with a tokenizer each
    Ensemble(members).save(tmp_path / "model")
    chances = [1 / (1 + np.exp(-outputs(member))) for member in members]
    mean = sum(chances) / 2
    assert np.abs(chances[0] - chances[1]).max() > 1e-3
    np.testing.assert_allclose(outputs(load_ensemble(tmp_path / "model")), np.log(mean / (1 - mean)), atol=1e-4)


def test_members_of_one_backbone_read_a_text_once(mpnet: str, backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, other = reader(mpnet), reader(mpnet, 1), reader(backbone, 2)
    ensemble = Ensemble([first, again, other])
    wanted = outputs(ensemble)
    monkeypatch.setattr(type(first.backbone), "forward", lambda *_, **__: pytest.fail("read again"))
    np.testing.assert_allclose(outputs(ensemble), wanted, atol=1e-5)
    assert not np.allclose(outputs(first), outputs(again))
    with pytest.raises(pytest.fail.Exception, match="read again"):
        outputs(reader(mpnet, 1))  # outside the ensemble


def test_a_reader_of_both_texts_shares_nothing_with_one_of_each_alone(mpnet: str) -> None:
    members = [reader(mpnet, together).read_together(wanted=bool(together)) for together in (0, 1)]
    mean = sum(1 / (1 + np.exp(-outputs(each))) for each in members) / 2
    np.testing.assert_allclose(outputs(Ensemble(members)), np.log(mean / (1 - mean)), atol=1e-4)


def test_the_rule_makes_of_certain_grades_what_the_policy_does() -> None:
    rule = Rule.of(POLICY)
    names = POLICY.dimension_names
    for grades in ((4, 4, 4), (0, 4, 4), (4, 2, None), (1, None, None)):
        at_least = torch.tensor([[float((grade or 0) >= step) for step in range(1, 5)] for grade in grades])
        known = torch.tensor([float(grade is not None) for grade in grades])
        found = rule(at_least.unsqueeze(0), known.unsqueeze(0))[0]
        assert found.sum().item() == pytest.approx(POLICY.overall(dict(zip(names, grades, strict=True))), abs=1e-4)


def test_a_grade_between_two_gives_an_overall_grade_between_theirs() -> None:
    at_least = torch.ones(1, 3, 4)
    at_least[0, 0] = torch.tensor([1.0, 0.5, 0.5, 0.5])  # role is 1 or 4
    names = POLICY.dimension_names
    ends = [POLICY.overall(dict(zip(names, (role, 4, 4), strict=True))) for role in (1, 4)]
    assert None not in ends
    found = Rule.of(POLICY)(at_least, torch.ones(1, 3))[0].sum().item()
    assert found == pytest.approx(sum(each for each in ends if each is not None) / 2, abs=1e-4)
