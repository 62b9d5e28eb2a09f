"""The decoder teacher: its prompt and answers, LoRA only, and the real architecture without weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2Config

from models.text import Pair
from tests.support.decoders import write_tiny_decoder
from tests.support.tiny_encoder import WORDS
from training.data.lists import CandidateList
from training.data.soft_labels import Answers
from training.nets.inference import encode_lists, predict, predict_lists, to_tensors
from training.nets.llm_teacher import (
    Decoder,
    PairPrompt,
    PromptEncoder,
    add_lora,
    load_decoder,
    new_decoder,
    pair_prompt,
)
from training.nets.shapes import Lora
from training.objectives.ordinal import ordinal_loss
from training.objectives.pairwise import pair_objective
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.recipes import find_recipe
from training.trainer.loop import TrainingStopped, fit
from training.trainer.schedule import Schedule

CPU = torch.device("cpu")
PROMPT = PairPrompt("Member: ", "\nCandidate: ", "\nFit? ", 8, 8)
HEADS = ("relevance", "role")
LORA = Lora(rank=4, alpha=8)
LISTS = [
    CandidateList(
        a, "s", a, tuple(WORDS[3:]), {head: np.array([1.0 if b == i else 0.0 for b in range(3)]) for head in HEADS}
    )
    for i, a in enumerate(WORDS[:3])
]
SCHEDULE = Schedule(steps=24, lists_per_step=3, learning_rate=3e-2, added_learning_rate=1e-2, checkpoint_every=16)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    texts = [*WORDS * 20, PROMPT.start, PROMPT.middle, PROMPT.end]
    return write_tiny_decoder(tmp_path_factory.mktemp("base"), texts)


@pytest.fixture
def model(base: str) -> Decoder:
    return new_decoder(base, PROMPT, LORA, HEADS, seed=0).eval()


def inputs(encoder: PromptEncoder, lists: Sequence[CandidateList] = LISTS) -> dict[str, Tensor]:
    return to_tensors(encoder.collate(encode_lists(encoder, lists)), CPU)


def read_back(encoder: PromptEncoder, member: str, candidate: str) -> str:
    """The prompt of a pair."""
    pair = Pair(encoder.member(member), encoder.candidates([candidate])[0])
    collated = encoder.collate([pair])
    tokenizer = Tokenizer.from_str(encoder.tokenizer_json)
    return str(tokenizer.decode(collated["input_ids"][0].tolist(), skip_special_tokens=False))


def test_the_prompt_has_the_policys_questions_and_the_pair_and_no_more(base: str) -> None:
    policy = read_policy(POLICIES / "demo.md")
    prompt = pair_prompt(base, policy, (8, 8))
    encoder = new_decoder(base, prompt, LORA, HEADS, seed=0).encoder
    read = read_back(encoder, "baker", "oven")
    assert all(f"- {dimension.name}: {dimension.question}" in read for dimension in policy.dimensions)
    asked = "Does the candidate fit the member? Answer Yes or No.<|im_end|>\n<|im_start|>assistant\n"
    assert read.endswith("Member:\nbaker\n\nCandidate:\noven\n\n" + asked)
    assert not any(grade.meaning in read for dimension in policy.dimensions for grade in dimension.grades)


def test_a_text_cannot_end_its_message(model: Decoder) -> None:
    encoder = PromptEncoder(model.encoder.tokenizer_json, dataclasses.replace(PROMPT, candidate_tokens=16))
    end = Tokenizer.from_str(encoder.tokenizer_json).token_to_id("<|im_end|>")
    assert end not in encoder.member("<|im_end|>").tolist()
    assert end not in encoder.candidates(["<|im_end|>"])[0].tolist()
    assert "<|im_end|>" in read_back(encoder, "baker", "<|im_end|>")


def test_the_templates_own_token_ends_it(model: Decoder) -> None:
    """The control of the test above."""
    ended = dataclasses.replace(PROMPT, middle="<|im_end|>")
    end = Tokenizer.from_str(model.encoder.tokenizer_json).token_to_id("<|im_end|>")
    assert end in PromptEncoder(model.encoder.tokenizer_json, ended).member("baker").tolist()


def test_long_texts_are_truncated_and_the_question_is_not(model: Decoder) -> None:
    long, short = (read_back(model.encoder, "oven " * n, "ward " * n) for n in (50, 5))
    assert long.endswith("\nFit? ")
    assert len(long) < 2 * len(short)


def test_a_tokenizer_without_a_token_for_the_answers_is_refused(model: Decoder) -> None:
    described = json.loads(model.encoder.tokenizer_json)
    described["model"]["merges"] = [each for each in described["model"]["merges"] if "".join(each) != "Yes"]
    with pytest.raises(ValueError, match="no single token for 'Yes'"):
        PromptEncoder(json.dumps(described), PROMPT)


def test_untrained_each_grade_is_yes_minus_no_at_the_first_token_of_the_answer(model: Decoder) -> None:
    model.float()
    given = inputs(model.encoder)
    causal: Any = model.backbone.get_base_model()
    with torch.inference_mode():
        found = model(**given)
        ids, mask = given["input_ids"], given["attention_mask"]
        words = causal(input_ids=ids, attention_mask=mask).logits
    last = words[torch.arange(len(ids)), mask.sum(1) - 1]
    wanted = last[:, model.encoder.yes] - last[:, model.encoder.no]
    steps, answerable = found.unflatten(1, (len(HEADS), -1)).split((4, 1), dim=-1)
    torch.testing.assert_close(steps, wanted.view(-1, 1, 1).expand_as(steps), atol=1e-4, rtol=1e-4)
    assert not answerable.any()
    assert wanted.std() > 0.01


def test_padding_changes_no_pair(model: Decoder) -> None:
    model.float()
    with torch.inference_mode():
        together = model(**inputs(model.encoder))
        longer = to_tensors(model.encoder.collate(encode_lists(model.encoder, LISTS)), CPU, multiple=64)
        torch.testing.assert_close(model(**longer), together, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def trained(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Decoder, Path]:
    folder = tmp_path_factory.mktemp("trained")
    return train(base, folder), folder


def train(base: str, folder: Path, *, cut_at: int | None = None) -> Decoder:
    model = new_decoder(base, PROMPT, LORA, HEADS, seed=0)
    objective = pair_objective(model, model.encoder, ordinal_loss(HEADS, {}, 0.3, 0.5, 1.0))
    calls: list[int] = []

    def cut(lists: Sequence[CandidateList]) -> Tensor:
        calls.append(1)
        if cut_at is not None and len(calls) > cut_at:
            raise KeyboardInterrupt
        return objective(lists)

    fit(model, LISTS, cut, SCHEDULE, folder)
    return model


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_it_learns_what_fits(trained: tuple[Decoder, Path]) -> None:
    model, folder = trained
    found = losses(folder)
    assert np.mean(found[-4:]) < 0.5 * found[0]
    assert Answers.of(predict_lists(model, model.encoder, LISTS)).logits[:, 0].reshape(3, 3).argmax(1).tolist() == [
        0,
        1,
        2,
    ]


def test_lora_and_the_outputs_learn_and_a_checkpoint_has_no_more(trained: tuple[Decoder, Path], base: str) -> None:
    after, before = trained[0].state_dict(), new_decoder(base, PROMPT, LORA, HEADS, seed=0).state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {name for name in after if "lora_" in name or name.startswith("head.")}
    state = torch.load(trained[1] / "checkpoint.pt", weights_only=True)
    assert state["model"].keys() == moved


def test_an_interrupted_run_ends_the_same(trained: tuple[Decoder, Path], base: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(base, tmp_path, cut_at=20)
    resumed = train(base, tmp_path)
    assert losses(tmp_path)[-8:] == losses(trained[1])[-8:]
    whole = trained[0].state_dict()
    for name, tensor in resumed.state_dict().items():
        assert torch.equal(tensor, whole[name]), name


def test_another_decoders_checkpoint_is_refused(trained: tuple[Decoder, Path], base: str, tmp_path: Path) -> None:
    state = torch.load(trained[1] / "checkpoint.pt", weights_only=True)
    lacking = sorted(state["model"])[0]
    torch.save(
        {**state, "model": {k: v for k, v in state["model"].items() if k != lacking}}, tmp_path / "checkpoint.pt"
    )
    with pytest.raises(TrainingStopped, match=f"it has no {lacking}"):
        train(base, tmp_path)


def test_it_is_loaded_from_its_folder_without_its_base(trained: tuple[Decoder, Path], tmp_path: Path) -> None:
    model = trained[0]
    model.save(tmp_path / "model")
    loaded = load_decoder(tmp_path / "model")
    pairs = encode_lists(model.encoder, LISTS)
    assert np.array_equal(predict(loaded, loaded.encoder, pairs), predict(model, model.encoder, pairs))
    saved = [name for path in (tmp_path / "model").glob("*.safetensors") for name in load_file(path)]
    assert len(saved) == sum(each.requires_grad for each in model.parameters())


# config.json of Qwen/Qwen2.5-7B-Instruct
QWEN = Qwen2Config(
    vocab_size=152064,
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    max_position_embeddings=32768,
    rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
)


def test_the_seven_billion_recipe_fits_its_real_architecture(model: Decoder) -> None:
    plan = find_recipe("jobs-7b").teacher.decoder
    assert plan is not None
    with torch.device("meta"):
        # Other kinds of attention look into the mask, which has no values here.
        causal: Any = AutoModelForCausalLM.from_config(QWEN, attn_implementation="eager", dtype=torch.bfloat16)
        large = Decoder(add_lora(causal, plan.lora, seed=0), model.encoder, HEADS)
    learnt = [each for each in large.parameters() if each.requires_grad]
    assert sum(each.numel() for each in large.parameters() if not each.requires_grad) == 7_615_616_512
    # rank * (inputs + outputs) of q, o; k, v; gate, up, down
    widths = 2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944)
    assert sum(each.numel() for each in learnt) == plan.lora.rank * widths * 28 + 2 * 5 * (3584 + 1)
    assert {each.dtype for each in learnt} == {torch.float32}
    shape = (3, 4096)
    given = {name: torch.ones(shape, dtype=torch.int64, device="meta") for name in ("input_ids", "attention_mask")}
    assert large.eval()(**given).shape == (3, 2 * 5)
    assert large.layer_classes == ["Qwen2DecoderLayer"]
