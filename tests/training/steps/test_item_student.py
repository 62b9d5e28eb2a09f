"""All steps of a recipe whose student has slots of items: its bundle answers each dimension, or says that it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from models.bundle.files import Bundle
from models.heads import UNANSWERED
from models.loading import open_encoder, open_scorer
from models.scorers.split import SplitScorer
from models.text import Pair
from training.dag import run_all
from training.data.lists import Split
from training.nets.shapes import DOT, SplitShape
from training.recipe import (
    EvaluationPlan,
    HeadPlan,
    ItemAblation,
    ItemLever,
    StartPlan,
    StudentPlan,
    Sweep,
    TeacherPlan,
)
from training.recipes import find_recipe
from training.sources.market import market_judged_lists, market_lists
from training.step_runner import Run
from training.trainer.schedule import Phases, Schedule

pytestmark = pytest.mark.slow
SHORT = Phases(*(Schedule(steps=2, lists_per_step=2, learning_rate=1e-3) for _ in range(2)))
ITEMS = SplitShape(4, 16)


def test_the_bundle_has_a_head_for_each_dimension_and_int8_slots(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("items")
    demo = find_recipe("demo")
    assert demo.engagement is not None
    policy = demo.data.policy
    sizes: dict[Split, int] = {"train": 8, "valid": 8, "test": 8}
    recipe = replace(
        demo,
        heads=(demo.heads[0], HeadPlan("seniority", "the level fits", 0.0, answerable=True), *demo.heads[1:]),
        engagement=replace(demo.engagement, teacher=replace(demo.engagement.teacher, phases=SHORT)),
        data=replace(
            demo.data,
            lists=lambda _: (
                *market_lists(lists=sizes, candidates=6, seed=0),
                *market_judged_lists(policy, lists=sizes, candidates=6, seed=4),
            ),
            judged=lambda _: market_judged_lists(policy, lists=sizes, candidates=6, seed=4),
        ),
        start=StartPlan(schedule=SHORT.sides),
        teacher=TeacherPlan(schedule=SHORT.pairs, tokens=(32, 32)),
        student=StudentPlan(phases=SHORT, gold_anchor=1.0, split=ITEMS, trained_layers=1, lists=8),
        sweep=Sweep((DOT, ITEMS), SHORT.sides, trained_layers=1),
        item_ablation=ItemAblation(phases=SHORT, judged=4, constructed=2, annotated=2),
        pruning=None,
        evaluation=EvaluationPlan(floors={}, audited_lists=0, baselines=False),
    )
    run = Run(recipe, folder, folder / "runs", folder / "bundles")
    run_all(run)
    bundle = Bundle.load(next((folder / "bundles").iterdir()))
    names = ["relevance", "seniority", "click", "apply"]
    assert [head.name for head in bundle.manifest.heads] == names
    assert [head.answerable is not None for head in bundle.manifest.heads] == [False, True, False, False]
    scorer, encoder = open_scorer(bundle, "cpu", 1), open_encoder(bundle)
    assert isinstance(scorer, SplitScorer)
    assert scorer.encode_candidates(encoder.candidates(["senior baker"])).dtype == np.int8
    row = scorer.score([Pair(encoder.member("baker"), encoder.candidates(["senior baker"])[0])])[0]
    assert all(0 <= value <= 1 or value == UNANSWERED for value in row)
    frontier = json.loads((run.folder("frontier") / "frontier.json").read_text(encoding="utf-8"))
    assert [point["name"] for point in frontier] == ["dot", "4x16", "flat"]
    rows = json.loads((run.folder("ablate") / "ablation.json").read_text(encoding="utf-8"))
    assert [row["without"] for row in rows] == list(get_args(ItemLever))
    assert {"relevance NDCG@10", "seniority pairs in order"} <= set(rows[0]["minus_whole"])
    assert "kappa with the judge" in bundle.contents["card.md"].decode()
