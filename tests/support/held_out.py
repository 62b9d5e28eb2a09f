"""A small held-out set of random gains, and systems that know its gains more or less well."""

from __future__ import annotations

import numpy as np

from training.data.held_out import ALL, HeldOutList, HeldOutSet
from training.data.lists import FieldList
from training.evaluation.decision.scoring import Scored, score_set
from training.evaluation.systems.interface import HeadScores, Kind, System

RANDOM = np.random.default_rng(0)
GAINS = [[float(each) / 4 for each in RANDOM.integers(0, 5, 6)] for _ in range(60)]


def held_out(gains: list[list[float]] = GAINS) -> HeldOutSet:
    lists = [
        HeldOutList(
            FieldList(f"l{n}", "s", "test", {"headline": f"m{n}"}, [{"title": f"t{i}"} for i in range(len(each))],
                      {"overall": each, "skills": [None, *each[1:]]}),
            cluster=f"c{n // 3}",
            parts={"own": [i < 3 for i in range(len(each))]},
        )
        for n, each in enumerate(gains)
    ]  # fmt: skip
    return HeldOutSet(
        "judged", "judged by a large model", "A test.", tuple(lists),
        ("ndcg@10", "auc top grade", "brier skill"), (ALL, "own"), ("skills",),
    )  # fmt: skip


def system(name: str, noise: float, kind: Kind = "student", seed: int = 0) -> System:
    """Knows the gains, with noise."""

    def score(lists: list[FieldList]) -> HeadScores:
        random = np.random.default_rng([seed, int(1000 * noise)])
        gains = np.concatenate([np.array(GAINS[int(each.list_id[1:])]) for each in lists])
        noisy = np.clip(gains + noise * random.normal(size=len(gains)), 0, 1)
        return {"overall": noisy, "skills": noisy}

    return System(name, kind, score, seed, is_calibrated=True)  # type: ignore[arg-type]


def scored(*systems: System, of: HeldOutSet | None = None) -> list[Scored]:
    return score_set(of or held_out(), systems, None)
