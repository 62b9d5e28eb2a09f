"""All steps of a recipe with features: what was planted in the gains is in the bundle's scores, and noise is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from models.bundle.files import Bundle
from models.features import Feature, Features
from models.loading import open_encoder, open_scorer
from models.text import Pair
from training.dag import run_all
from training.data.lists import FieldList, Split
from training.evaluation.feature_effects import read_effects
from training.nets.shapes import DOT
from training.recipe import EvaluationPlan, StartPlan, StudentPlan, TeacherPlan
from training.recipes import find_recipe
from training.sources.market import market_judged_lists, market_lists
from training.step_runner import Run
from training.trainer.schedule import Phases, Schedule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHORT = Phases(*(Schedule(steps=2, lists_per_step=2, learning_rate=1e-3) for _ in range(2)))
PRICE = Feature(name="price", unit="EUR", low=0, high=200, default=50)
NOISE = Feature(name="noise", unit="", low=-1, high=1, default=0)
PLANTED = -3.0
"""Of the logit of a gain, from the lowest price to the highest."""


def priced(lists: Iterator[FieldList], seed: int) -> Iterator[FieldList]:
    """The lists with a price, which alone decides how likely a gain is, and with noise."""
    random = np.random.default_rng(seed)
    for each in lists:
        price, noise = random.uniform(0, 200, len(each.candidates)), random.uniform(-1, 1, len(each.candidates))
        chance = 1 / (1 + np.exp(-(1.5 + PLANTED * price / 200)))
        gains = (random.uniform(size=len(price)) < chance).astype(float).tolist()
        yield replace(each, labels={"relevance": gains}, features={"price": price.tolist(), "noise": noise.tolist()})


def test_a_planted_effect_is_in_the_scores_of_the_bundle(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("features")
    demo = find_recipe("demo")
    sizes: dict[Split, int] = {"train": 8, "valid": 60, "test": 8}
    few: dict[Split, int] = {"train": 8, "valid": 4, "test": 4}
    recipe = replace(
        demo,
        heads=demo.heads[:1],
        engagement=None,
        features=(PRICE, NOISE),
        data=replace(
            demo.data,
            lists=lambda _: priced(market_lists(lists=sizes, candidates=8, seed=0), seed=1),
            judged=lambda _: market_judged_lists(demo.data.policy, lists=few, candidates=6, seed=4),
        ),
        start=StartPlan(schedule=SHORT.sides),
        teacher=TeacherPlan(schedule=SHORT.pairs, tokens=(32, 32)),
        student=StudentPlan(phases=SHORT, gold_anchor=1.0, split=DOT, lists=8, annotated_lists=8),
        sweep=None,
        ablated=(),
        pruning=None,
        evaluation=EvaluationPlan(floors={}, audited_lists=0, baselines=False),
    )
    run = Run(recipe, folder, folder / "runs", folder / "bundles")
    run_all(run)
    price, noise = read_effects(run.folder("distill"))
    truth = PLANTED * (price.high - price.low) / 200
    assert price.used
    assert price.change.low <= truth <= price.change.high
    assert (noise.used, noise.change.mean) == (False, 0)
    bundle = Bundle.load(next((folder / "bundles").iterdir()))
    assert bundle.manifest.features == (PRICE, NOISE)
    assert any(each.features for each in bundle.manifest.known_answers)
    card = bundle.contents["card.md"].decode()
    assert "## Features" in card
    assert "| `noise` | `relevance` |" in card
    scorer, encoder, declared = open_scorer(bundle, "cpu", 1), open_encoder(bundle), Features((PRICE, NOISE))
    inputs = declared.read([{"price": 0}, {"price": 200}, {"price": 0, "noise": 1}, None]).values
    ids = encoder.candidates(["python"])[0]
    cheap, dear, noisy, default = scorer.score([Pair(encoder.member("python"), ids, row) for row in inputs])[:, 0]
    assert cheap > default > dear
    assert cheap == noisy
    found = np.log(dear / (1 - dear)) - np.log(cheap / (1 - cheap))
    assert found == pytest.approx(PLANTED, abs=1.2)
