"""Training of a dot product: embeddings are cached, its weights learn, its graphs equal torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.bundle.files import Bundle
from models.loading import check_known_answers, open_encoder, open_scorer
from models.scorers.split import SplitScorer
from models.text import TextEncoder
from training.dag import run_all
from training.data.lists import CandidateList
from training.nets.cross_encoder import new_cross_encoder
from training.nets.shapes import DOT, SplitShape
from training.nets.split_student import SplitStudent, new_split_student
from training.objectives.dot_product import embed_sides, list_objective, score_lists
from training.objectives.losses import Mean
from training.objectives.pairwise import ListLabels, Terms
from training.recipe import EvaluationPlan, PruningPlan, StartPlan, Sweep, TeacherPlan
from training.recipes import find_recipe
from training.sources.market import market_lists
from training.step_runner import Run
from training.trainer.loop import fit
from training.trainer.schedule import Phases, Schedule

FITS = {"baker": "oven", "welder": "steel", "nurse": "ward"}
ITEMS = SplitShape(2, 16)
SHORT = Schedule(steps=3, lists_per_step=2, learning_rate=1e-3, added_learning_rate=1e-3)


def lists(copies: int) -> list[CandidateList]:
    candidates = tuple(FITS.values())
    return [
        CandidateList(f"{member}/{copy}", "tiny", member, candidates, {"relevance": np.eye(3)[row]})
        for copy in range(copies)
        for row, member in enumerate(FITS)
    ]


@pytest.fixture
def student(backbone: str) -> SplitStudent:
    torch.manual_seed(0)
    return new_split_student(new_cross_encoder(backbone, 1), DOT).eval()


def test_only_the_weights_learn_what_fits_each_member(
    student: SplitStudent, encoder: TextEncoder, tmp_path: Path
) -> None:
    train = lists(8)
    sides = embed_sides(student, encoder, train, tmp_path / "embeddings")
    before = {name: tensor.clone() for name, tensor in student.backbone.state_dict().items()}
    schedule = Schedule(steps=60, lists_per_step=6, learning_rate=3e-3, added_learning_rate=3e-3)
    losses = []

    def gap(logits: Tensor, labels: ListLabels) -> Terms:
        wrong = binary_cross_entropy_with_logits(logits[..., 0], labels.targets["relevance"])
        return Terms([(1.0, Mean(wrong, torch.ones(())))])

    objective = list_objective(student, sides, gap)
    for folder in ("one", "two"):
        losses.append(objective(train).item())
        fit(student.scorer, train, objective, schedule, tmp_path / folder)
    assert losses[1] < losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.backbone.state_dict().items())


def test_list_logits_are_in_the_order_of_the_candidates(
    student: SplitStudent, encoder: TextEncoder, tmp_path: Path
) -> None:
    some = lists(1)
    some[1] = replace(some[1], candidates=("ward", "oven"), labels={"relevance": np.array([0.0, 0.0])})
    sides = embed_sides(student, encoder, some, tmp_path)
    seen: list[Tensor] = []

    def note(logits: Tensor, _: ListLabels) -> Terms:
        seen.append(logits)
        return Terms([(1.0, Mean(logits.sum(), torch.ones(())))])

    list_objective(student, sides, note)(some)
    flat = torch.cat([seen[0][row, : len(each), 0] for row, each in enumerate(some)])
    np.testing.assert_allclose(flat.detach().numpy(), score_lists(student, sides, some)[:, 0], atol=1e-5)


def test_cached_texts_are_not_encoded_again(
    student: SplitStudent, encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed_sides(student, encoder, lists(1), tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(student, "encode", refuse)
    again = embed_sides(student, encoder, lists(1), tmp_path)
    assert torch.equal(first.members.vectors, again.members.vectors)


def test_another_encoder_does_not_use_this_ones_cache(
    student: SplitStudent, encoder: TextEncoder, tmp_path: Path
) -> None:
    first = embed_sides(student, encoder, lists(1), tmp_path)
    with torch.no_grad():
        for words in student.backbone.get_input_embeddings().parameters():
            words.add_(torch.randn_like(words))
    assert not torch.equal(first.members.vectors, embed_sides(student, encoder, lists(1), tmp_path).members.vectors)


@pytest.mark.slow
def test_a_recipe_with_a_split_student_ends_in_a_split_bundle(tmp_path: Path) -> None:
    demo = find_recipe("demo")
    assert demo.engagement is not None
    phases = Phases(SHORT, SHORT)
    recipe = replace(
        demo,
        engagement=replace(
            demo.engagement,
            teacher=replace(demo.engagement.teacher, phases=phases),
            student=replace(demo.engagement.student, schedule=SHORT),
        ),
        data=replace(
            demo.data, lists=lambda _: market_lists(lists={"train": 8, "valid": 4, "test": 4}, candidates=4, seed=0)
        ),
        start=StartPlan(schedule=SHORT),
        teacher=TeacherPlan(schedule=SHORT),
        student=replace(demo.student, phases=phases, split=DOT),
        sweep=Sweep((DOT, ITEMS), SHORT, trained_layers=1),
        pruning=PruningPlan(shares=(0.5,), schedule=SHORT),
        evaluation=EvaluationPlan(floors={}),
    )
    run = Run(recipe, tmp_path, tmp_path / "runs", tmp_path / "bundles")
    run_all(run)
    points = json.loads((run.folder("frontier") / "frontier.json").read_text())
    assert [point["name"] for point in points] == ["dot", "2x16", "flat"]
    assert points[0]["sources"]["market"]["minus_reference"]["mean"] == 0
    speeds = [point["pairs_per_second"] for point in points]
    assert speeds == sorted(speeds, reverse=True)
    parity = json.loads((run.folder("compress") / "parity.json").read_text())
    assert parity["fp32"]["worst"] < 5e-3
    variants = json.loads((run.folder("compress") / "variants.json").read_text())
    assert variants[-1]["name"] == "pruned-50-int8"
    assert variants[-1]["pace"].keys() == {"candidates", "pairs"}
    bundle = Bundle.load(tmp_path / "bundles" / "demo-v1")
    scorer = open_scorer(bundle, "cpu", 1)
    assert isinstance(scorer, SplitScorer)
    check_known_answers(bundle, scorer, open_encoder(bundle), "cpu")
