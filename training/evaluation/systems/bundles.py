"""A bundle as a system: it renders by its own template and scores as serving does, calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.bundle.files import Bundle
from models.heads import UNANSWERED, BestChunk
from models.loading import open_encoder, open_scorer
from models.scorers.interface import Scorer
from models.scorers.long_texts import score_texts
from models.scorers.split import Block, SplitScorer
from models.text import TextEncoder
from training.data.features import feature_inputs
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
    template, best = bundle.manifest.text.template, bundle.manifest.best_chunk

    def score(lists: Sequence[FieldList]) -> HeadScores:
        as_texts = rendered(lists, template)
        if isinstance(scorer, SplitScorer):
            found = _split_scores(scorer, encoder, best, as_texts, name)
        else:
            shown = tqdm(as_texts, desc=name, mininterval=5, leave=False)
            found = [_pair_scores(scorer, encoder, best, each) for each in shown]
        rows = np.concatenate(found).astype(np.float64)
        columns = np.where(rows == UNANSWERED, np.nan, rows).T
        return {head_name(head): column for head, column in zip(scorer.heads, columns, strict=True)}

    kept = scorer.encode_candidates(encoder.candidates(["one"]))[0].nbytes if isinstance(scorer, SplitScorer) else None
    return System(name, kind, score, seed, is_calibrated=True, identity=digest(path), cost=Cost(kept))


def _pair_scores(scorer: Scorer, encoder: TextEncoder, best: BestChunk, each: CandidateList) -> np.ndarray:
    read = encoder.read_candidates(each.candidates)
    return score_texts(scorer, best, [encoder.member(each.member)] * len(read), read)


def _split_scores(
    scorer: SplitScorer, encoder: TextEncoder, best: BestChunk, lists: Sequence[CandidateList], name: str
) -> list[np.ndarray]:
    """Each distinct candidate is encoded once, in batches of similar length, as a service with a store does."""
    texts = list(dict.fromkeys(text for each in lists for text in each.candidates))
    read = encoder.read_candidates(texts)
    ids = [chunk for each in read for chunk in each.chunks]
    slots = np.stack(in_length_order(ids, scorer.encode_candidates, size=BATCH, progress=name))
    ends = np.cumsum([each.counts.chunks for each in read]).tolist()
    rows = {text: range(end - own.counts.chunks, end) for text, own, end in zip(texts, read, ends, strict=True)}
    found = []
    for each in lists:
        state = scorer.encode_members([encoder.member(each.member)])[0]
        own = [rows[text] for text in each.candidates]
        features = np.repeat(feature_inputs(scorer.features, [each]), list(map(len, own)), axis=0)
        block = Block(state, slots[[row for span in own for row in span]], features)
        found.append(best.rows(scorer.score_blocks([block])[0], list(map(len, own))))
    return found
