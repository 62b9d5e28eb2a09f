"""The sweep trades relevance for engagement as the engagement teacher's share grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.data.lists import CandidateList
from training.distillation.loss_weight_sweep import Predict, sweep_loss_weights
from training.recipe import ActionHeadsPlan, HeadNames

RANDOM = np.random.default_rng(0)
LISTS = [
    CandidateList(
        f"l{i}",
        "s",
        "m",
        tuple("abcdef"),
        {"relevance": RANDOM.permutation(6) / 5, "apply": (RANDOM.permutation(6) > 2).astype(float)},
    )
    for i in range(40)
]


def student(share: float) -> Predict:
    """A student that knows each head as well as its share of the loss."""

    def predict(lists: Sequence[CandidateList]) -> np.ndarray:
        noise = np.random.default_rng(1)
        relevance = np.concatenate([each.labels["relevance"] for each in lists])
        apply = np.concatenate([each.labels["apply"] for each in lists])
        columns = [(1 - share) * relevance, share * apply]
        return np.stack([each + 0.3 * noise.normal(size=len(each)) for each in columns], axis=1)

    return predict


def test_more_engagement_buys_auc_with_relevance() -> None:
    plan = ActionHeadsPlan(share=0.5, shares=(0.1, 0.9))
    found = sweep_loss_weights(plan, HeadNames(("relevance",), ("apply",)), LISTS, student)
    relevance = [each.relevance.mean for each in found.points]
    engagement = [each.engagement.mean for each in found.points]
    assert relevance == sorted(relevance, reverse=True)
    assert engagement == sorted(engagement)
    assert relevance[0] > relevance[2] + 0.05
    assert [each.chosen for each in found.points] == [False, True, False]
