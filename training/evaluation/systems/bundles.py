"""A bundle as a system: it renders by its own template and scores as serving does, calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.bundle.files import Bundle
from models.loading import open_encoder, open_scorer
from models.scorers.split import Block, SplitScorer
from models.text import Pair, TextEncoder
from training.data.lists import CandidateList, FieldList
from training.evaluation.systems.baselines import rendered
from training.evaluation.systems.interface import Cost, HeadScores, Kind, System
from training.files import digest
from training.nets.inference import in_length_order
from training.policy.policy import OVERALL

BATCH = 16
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
        as_texts = rendered(lists, template)
        if isinstance(scorer, SplitScorer):
            found = _split_scores(scorer, encoder, as_texts, name)
        else:
            shown = tqdm(as_texts, desc=name, mininterval=5, leave=False)
            found = [scorer.score(encode_pairs(encoder, each)) for each in shown]
        columns = np.concatenate(found).astype(np.float64).T
        return {head_name(head): column for head, column in zip(scorer.heads, columns, strict=True)}

    kept = scorer.encode_candidates(encoder.candidates(["one"]))[0].nbytes if isinstance(scorer, SplitScorer) else None
    return System(name, kind, score, seed, is_calibrated=True, identity=digest(path), cost=Cost(kept))


def encode_pairs(encoder: TextEncoder, each: CandidateList) -> list[Pair]:
    member = encoder.member(each.member)
    return [Pair(member, ids) for ids in encoder.candidates(each.candidates)]


def _split_scores(
    scorer: SplitScorer, encoder: TextEncoder, lists: Sequence[CandidateList], name: str
) -> list[np.ndarray]:
    """Each distinct candidate is encoded once, in batches of similar length, as a service with a store does."""
    texts = list(dict.fromkeys(text for each in lists for text in each.candidates))
    row = {text: index for index, text in enumerate(texts)}
    ids = encoder.candidates(texts)
    slots = np.stack(in_length_order(ids, scorer.encode_candidates, size=BATCH, progress=name))
    found = []
    for each in lists:
        state = scorer.encode_members([encoder.member(each.member)])[0]
        found.append(scorer.score_blocks([Block(state, slots[[row[text] for text in each.candidates]])])[0])
    return found
