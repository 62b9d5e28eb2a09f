"""The engagement teacher recovers the known truth of a simulated log; a naive one with the same training does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.template import FieldFormat, Template
from tests.support.frozen_match import Embeddings, FrozenMatch, frozen_objective, predict_frozen
from training.data.impressions import POSITION, SHOWN
from training.data.lists import CandidateList, FieldList, candidate_lists, render_lists
from training.metrics.calibration import expected_calibration_error
from training.metrics.ranking import ndcg_at_10
from training.objectives.pairwise import ListLabels
from training.objectives.position_bias import ClickModel, Examination, calibrate_attractiveness, engagement_loss
from training.sources.simulated_clicks import ACTIONS, impressions, power_law
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

TEMPLATE = Template(member=(FieldFormat(name="likes"),), candidate=(FieldFormat(name="title"),))
TASTES = "amber birch cedar dune ember fjord grove heath".split()
SPONSORED = "sponsored"
CURVE = power_law(8, 0.9)
WIDTH = 32
Logs = tuple[list[CandidateList], list[CandidateList]]


def attractiveness(each: FieldList) -> Mapping[str, Sequence[float]]:
    """Members click what they like, and its neighbours less often; promotion by the product attracts no clicks."""
    taste = TASTES.index(str(each.member["likes"]))
    apart = [abs(TASTES.index(str(c["title"]).split()[0]) - taste) for c in each.candidates]
    click = [(0.7, 0.4)[distance] if distance < 2 else 0.1 for distance in apart]
    return {"click": click, "apply": [0.3 * chance for chance in click], "dismiss": [0.2 * (1 - c) for c in click]}


def pushed_up(each: FieldList) -> Sequence[float]:
    """The order of the product that made the log."""
    return [1.0 if SPONSORED in str(candidate["title"]) else 0.0 for candidate in each.candidates]


def market(count: int, seed: int) -> list[FieldList]:
    random = np.random.default_rng(seed)
    lists = []
    for index in range(count):
        titles = [f"{random.choice(TASTES)} {SPONSORED if random.random() < 0.4 else 'listed'}" for _ in CURVE]
        member = {"likes": str(random.choice(TASTES))}
        lists.append(FieldList(f"l{index}", "market", "train", member, [{"title": t} for t in titles], {}))
    return lists


def rendered(lists: Sequence[FieldList], labels: Sequence[str]) -> list[CandidateList]:
    return list(candidate_lists(render_lists(lists, TEMPLATE, labels), labels))


def logged(count: int, seed: int) -> list[CandidateList]:
    shown = impressions(iter(market(count, seed)), attractiveness, CURVE, seed=seed, shown_by=pushed_up)
    return rendered(list(shown), (*ACTIONS, POSITION))


def embeddings() -> Embeddings:
    """A vector per word, and the normalised sum of a text's words."""
    random = np.random.default_rng(5)
    word = {each: random.normal(size=WIDTH) for each in (*TASTES, SPONSORED, "listed")}
    texts = [*TASTES, *(f"{taste} {how}" for taste in TASTES for how in (SPONSORED, "listed"))]
    sums = {text: np.sum([word[each] for each in text.split()], axis=0) for text in texts}
    return {text: (vector / np.linalg.norm(vector)).astype(np.float32) for text, vector in sums.items()}


@dataclass(frozen=True)
class Taught:
    """A teacher's curve, and its results on lists with known truth."""

    curve: np.ndarray
    ndcg: float
    calibration_error: float


@pytest.fixture(scope="module")
def logs() -> Logs:
    """Lists to train on, and lists to calibrate on."""
    return logged(4000, seed=1), logged(1000, seed=2)


def teach(
    folder: Path, train: Sequence[CandidateList], valid: Sequence[CandidateList], *, models_position: bool
) -> Taught:
    vectors = embeddings()
    torch.manual_seed(0)
    model = FrozenMatch(WIDTH, len(ACTIONS))
    engaged = ClickModel(model, Examination(len(CURVE)))
    examination = engaged.examination if models_position else None
    loss = engagement_loss(ACTIONS, ("apply",), examination)
    schedule = Schedule(steps=350, lists_per_step=96, learning_rate=1e-3, added_learning_rate=4e-2)
    fit(engaged, train, frozen_objective(model, vectors, loss), schedule, folder)
    calibrations = calibrate_attractiveness(
        ACTIONS, predict_frozen(model, vectors, valid), valid, None if examination is None else examination.curve()
    )
    fresh = market(300, seed=3)
    tested = rendered([replace(each, labels=attractiveness(each)) for each in fresh], ACTIONS)
    logits = predict_frozen(model, vectors, tested)
    places = np.split(np.arange(len(logits)), len(tested))
    ndcg = np.mean(
        [ndcg_at_10(logits[rows, 0], each.labels["click"]) for rows, each in zip(places, tested, strict=True)]
    )
    errors = [
        expected_calibration_error(
            calibrations[action].apply(logits[:, index]), np.concatenate([each.labels[action] for each in tested])
        )
        for index, action in enumerate(ACTIONS)
    ]
    return Taught(engaged.examination.curve(), float(ndcg), max(errors))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, logs: Logs) -> Taught:
    return teach(tmp_path_factory.mktemp("teacher"), *logs, models_position=True)


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory, logs: Logs) -> Taught:
    """The same model, log and schedule, with every impression counted as examined."""
    return teach(tmp_path_factory.mktemp("naive"), *logs, models_position=False)


def test_the_examination_curve_is_recovered(teacher: Taught) -> None:
    assert np.abs(teacher.curve - CURVE).max() < 0.06


def test_attractiveness_ranks_by_taste_and_not_by_promotion(teacher: Taught, naive: Taught) -> None:
    assert teacher.ndcg > 0.99
    assert naive.ndcg < teacher.ndcg - 0.01


def test_attractiveness_is_calibrated_given_examination(teacher: Taught, naive: Taught) -> None:
    assert teacher.calibration_error < 0.05
    assert naive.calibration_error > 0.1


def test_positions_beyond_the_curve_do_not_affect_calibration() -> None:
    """They were examined less than the curve's last, and would lower every probability."""
    lists = logged(400, seed=4)
    logits = np.zeros((sum(map(len, lists)), len(ACTIONS)), dtype=np.float32)
    whole = calibrate_attractiveness(ACTIONS, logits, lists, np.array(CURVE))
    cut = calibrate_attractiveness(ACTIONS, logits, lists, np.array(CURVE[:3]))
    assert cut["click"].apply(np.zeros(1))[0] == pytest.approx(whole["click"].apply(np.zeros(1))[0], abs=0.05)
    everywhere = [
        replace(each, labels={**each.labels, POSITION: np.minimum(each.labels[POSITION], 3)}) for each in lists
    ]
    pulled = calibrate_attractiveness(ACTIONS, logits, everywhere, np.array(CURVE[:3]))
    assert pulled["click"].apply(np.zeros(1))[0] < cut["click"].apply(np.zeros(1))[0] - 0.05


def test_counts_say_which_candidate_of_a_list_got_its_clicks() -> None:
    """By hand: of 30 clicks, 20 went to the first, which was shown twice as often: both are equally good."""
    times, shares = torch.tensor([[200.0, 100.0]]), torch.tensor([[0.1, 0.1]])
    known = torch.ones(1, 2, dtype=torch.bool)
    labels = ListLabels({"click": shares, SHOWN: times}, {"click": known, SHOWN: known})
    equal, better = torch.full((1, 2, 1), -2.2), torch.tensor([[[-1.2], [-2.2]]])
    whole, alone = (engagement_loss(["click"], (), None, weight) for weight in (1.0, 0.0))
    listwise = [whole(logits, labels).value() - alone(logits, labels).value() for logits in (equal, better)]
    assert listwise[0].item() == pytest.approx(0.0, abs=1e-6)
    chance = 2 * np.e / (2 * np.e + 1)
    assert listwise[1].item() == pytest.approx(
        2 / 3 * np.log(2 / 3 / chance) + 1 / 3 * np.log(1 / 3 / (1 - chance)), abs=1e-5
    )
