"""Baselines as systems: chance, BM25 and the cosine of a pretrained encoder. They have one score and no dimensions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from models.template import Template
from training.data.lists import CandidateList, FieldList
from training.evaluation.baselines import bm25_scores, cosine_scores
from training.evaluation.systems.interface import HeadScores, System
from training.policy.policy import OVERALL


def rendered(lists: Sequence[FieldList], template: Template) -> list[CandidateList]:
    """The lists as texts, without labels."""
    return [
        CandidateList(
            each.list_id,
            each.source,
            template.render_member(each.member),
            tuple(template.render_candidate(fields) for fields in each.candidates),
            {},
            {name: np.array(numbers, dtype=np.float64) for name, numbers in each.features.items()},
        )
        for each in lists
    ]


def chance(seed: int = 0) -> System:
    """Random scores that follow from the list's name."""

    def score(lists: Sequence[FieldList]) -> HeadScores:
        drawn = [_random(f"{seed} {each.list_id}").random(len(each.candidates)) for each in lists]
        return {OVERALL: np.concatenate(drawn)}

    return System("random", "baseline", score, seed=seed)


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def bm25(template: Template) -> System:
    """BM25; document frequencies are those of the candidates of the lists that it scores together."""
    return System("bm25", "baseline", lambda lists: {OVERALL: np.concatenate(bm25_scores(rendered(lists, template)))})


def cosine(template: Template, backbone: str, *, name: str = "cosine", max_tokens: int = 256) -> System:
    """Cosine of mean-pooled embeddings of the untouched backbone."""

    def score(lists: Sequence[FieldList]) -> HeadScores:
        return {OVERALL: np.concatenate(cosine_scores(rendered(lists, template), backbone, max_tokens=max_tokens))}

    settings = f"{name} {backbone} {max_tokens} {template.model_dump_json()}"
    return System(name, "baseline", score, identity=hashlib.sha256(settings.encode()).hexdigest())
