"""A bundle as a system: it renders by its own template and scores as serving does, calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.bundle.files import Bundle
from models.loading import open_encoder, open_scorer
from models.text import Pair
from training.data.lists import FieldList
from training.evaluation.systems.interface import Cost, HeadScores, Kind, System
from training.files import digest
from training.policy.policy import OVERALL

RELEVANCE = "relevance"
"""What bundles call the head of the overall grade."""


def head_name(head: str) -> str:
    """The report's name of a model's head."""
    return OVERALL if head == RELEVANCE else head


def bundle_system(path: Path, name: str, kind: Kind, *, seed: int = 0, threads: int = 1) -> System:
    """The bundle's CPU graphs. Raises BundleError where it cannot be opened."""
    bundle = Bundle.load(path)
    encoder, scorer = open_encoder(bundle), open_scorer(bundle, "cpu", threads)
    template = bundle.manifest.text.template

    def score(lists: Sequence[FieldList]) -> HeadScores:
        found = []
        for each in tqdm(lists, desc=name, mininterval=5, leave=False):
            member = encoder.member(template.render_member(each.member))
            texts = [template.render_candidate(fields) for fields in each.candidates]
            found.append(scorer.score([Pair(member, ids) for ids in encoder.candidates(texts)]))
        columns = np.concatenate(found).astype(np.float64).T
        return {head_name(head): column for head, column in zip(scorer.heads, columns, strict=True)}

    slots = next((out.nbytes for out in [_slots(scorer, encoder)] if out is not None), None)
    return System(name, kind, score, seed, is_calibrated=True, identity=digest(path), cost=Cost(slots))


def _slots(scorer: object, encoder: object) -> np.ndarray | None:
    """What is kept of one candidate; None for a model that keeps nothing."""
    encode = getattr(scorer, "encode_candidates", None)
    return None if encode is None else np.asarray(encode(encoder.candidates(["one"]))[0])  # type: ignore[attr-defined]
