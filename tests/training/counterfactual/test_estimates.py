"""Off-policy estimates: logs with known truth, real randomised headlines, and the controls that must fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.counterfactual.estimates import Slots, estimate

UPWORTHY = Path(__file__).parents[3].parent / "shared" / "data" / "upworthy" / "packages.parquet"
LISTS, ARMS, SEEDS = 150, 4, 60


def simulated(
    seed: int, *, lists: int = LISTS, greed: float = 2.0, each: int = 20, level: float = -2.0
) -> tuple[Slots, float]:
    """A log whose policy prefers what draws actions, and the true rate of another policy, which reads a noisy score.

    Clusters are pairs of lists that share their attraction.
    """
    random = np.random.default_rng(seed)
    base = np.repeat(random.normal(0, 0.6, (lists + 1) // 2), 2)[:lists, None]
    logit = base + random.normal(0, 0.8, (lists, ARMS)) + level
    rate = 1 / (1 + np.exp(-logit))
    chance = np.exp(greed * logit)
    chance /= chance.sum(axis=1, keepdims=True)
    shown = np.stack([random.multinomial(each, row) for row in chance])
    actions = random.binomial(shown, rate)
    score = rate + random.normal(0, 0.1, rate.shape)
    target = (score == score.max(axis=1, keepdims=True)).astype(float)
    decided = np.full(lists, float(each))
    slots = Slots(
        lists=np.repeat(np.arange(lists), ARMS),
        shown=shown.ravel().astype(float),
        actions=actions.ravel().astype(float),
        propensity=chance.ravel(),
        target=target.ravel(),
        chosen=(target * each).ravel(),
        value=score.ravel(),
        decided=decided,
        clusters=np.arange(lists) // 2,
    )
    return slots, float((target * rate).sum(axis=1).mean())


def mean_rate(seeds: int) -> float:
    """The truth over all logs: what clusters are drawn from."""
    return float(np.mean([simulated(10_000 + seed, lists=2000)[1] for seed in range(seeds)]))


def test_intervals_hold_the_truth_about_as_often_as_they_state() -> None:
    truth = mean_rate(10)
    held = dict.fromkeys(("IPS", "SNIPS", "DR"), 0)
    errors: dict[str, list[float]] = {name: [] for name in (*held, "without weights")}
    for seed in range(SEEDS):
        found = estimate(simulated(seed)[0])
        for name in errors:
            rate = found.named(name).rate
            errors[name].append(rate.mean - truth)
            if name in held:
                held[name] += rate.low <= truth <= rate.high
    assert min(held.values()) >= 0.85 * SEEDS, held
    deviations = {name: np.std(each) for name, each in errors.items()}
    for name in held:
        assert abs(np.mean(errors[name])) < 3 * deviations[name] / np.sqrt(SEEDS) + 0.004, name
    # The control: rates of what both policies chose are those of the lists where the old policy chose well.
    assert np.mean(errors["without weights"]) > 0.01


def test_a_model_of_frequent_actions_takes_noise_from_the_weights() -> None:
    found = [estimate(simulated(seed, level=1.5)[0]) for seed in range(15)]
    spread = {name: np.std([each.named(name).rate.mean for each in found]) for name in ("IPS", "DR")}
    assert spread["DR"] < 0.7 * spread["IPS"]


def test_a_policy_that_is_the_logging_one_gets_what_was_logged() -> None:
    slots, _ = simulated(1)
    same = replace(slots, target=slots.propensity, chosen=slots.propensity * slots.decided[slots.lists])
    found = estimate(same)
    assert found.named("IPS").rate == found.logged
    assert found.named("SNIPS").minus_logged.mean == 0
    assert found.effective == pytest.approx(found.shown)


def test_the_effective_sample_is_that_of_equal_weights_worked_out_by_hand() -> None:
    """Two of four shown candidates count, with weights 2 and 4: (2 + 4)^2 / (4 + 16) = 1.8."""
    slots = Slots(
        lists=np.array([0, 0, 1, 1]),
        shown=np.ones(4),
        actions=np.array([1.0, 0, 1, 1]),
        propensity=np.array([0.5, 0.5, 0.25, 0.75]),
        target=np.array([1.0, 0, 1, 0]),
        chosen=np.array([1.0, 0, 1, 0]),
        value=np.array([1.0, 0, 1, 0]),
        decided=np.ones(2),
        clusters=np.arange(2),
    )
    found = estimate(slots)
    assert found.effective == pytest.approx(1.8)
    assert found.named("IPS").rate.mean == pytest.approx((2 + 4) / 2)
    assert found.named("SNIPS").rate.mean == pytest.approx(1.0)
    assert "too few to say anything" in found.warnings[0]


def test_clipping_lowers_the_rate_by_what_is_stated() -> None:
    slots, _ = simulated(3)
    whole, clipped = estimate(slots), estimate(slots, clip=2.0)
    fell = whole.named("IPS").rate.mean - clipped.named("IPS").rate.mean
    assert fell == pytest.approx(clipped.clipped_off)
    assert fell > 0
    assert clipped.largest_weight == 2
    assert any("clipping lowers IPS by about" in each for each in clipped.warnings)
    assert whole.clipped_off == 0


def test_policies_that_hardly_overlap_are_warned_of() -> None:
    slots, _ = simulated(4, greed=12.0, each=100)
    worst = slots.value.reshape(LISTS, ARMS).argmin(axis=1)
    target = np.eye(ARMS)[worst].ravel()
    found = estimate(replace(slots, target=target, chosen=target * 100))
    assert found.warnings


def headlines(choose: Callable[[list[str]], int]) -> tuple[Slots, float]:
    """Tests of two or more packages as a log of uniform propensities, and the rate that the chosen arms had."""
    table = pl.read_parquet(UPWORTHY).filter(~pl.col("randomisation_doubt"))
    table = table.filter(pl.len().over("test_id") > 1).sort("test_id")
    sizes = table.group_by("test_id", maintain_order=True).len()["len"].to_numpy()
    lists = np.repeat(np.arange(len(sizes)), sizes)
    texts = np.split(table["headline"].to_numpy(), np.cumsum(sizes)[:-1])
    target = np.concatenate([np.eye(len(some))[choose(list(some))] for some in texts])
    shown, actions = (table[name].to_numpy().astype(float) for name in ("impressions", "clicks"))
    decided = np.bincount(lists, weights=shown)
    slots = Slots(
        lists, shown, actions, 1 / sizes[lists], target, target * decided[lists],
        np.array([len(text) / 100 for text in table["headline"]]), decided, np.arange(len(sizes)),
    )  # fmt: skip
    truth = float((target * actions / shown * decided[lists]).sum() / decided.sum())
    return slots, truth


@pytest.mark.skipif(not UPWORTHY.exists(), reason="the archive is not beside the repository")
def test_real_randomised_headlines_give_the_rate_that_the_chosen_arms_had() -> None:
    for choose in (
        lambda some: int(np.argmin([len(x) for x in some])),
        lambda some: int(np.argmax([len(x) for x in some])),
    ):
        slots, truth = headlines(choose)
        found = estimate(slots)
        for name in ("IPS", "SNIPS", "DR"):
            rate = found.named(name).rate
            assert rate.low <= truth <= rate.high, name
            assert rate.mean == pytest.approx(truth, rel=0.02), name
