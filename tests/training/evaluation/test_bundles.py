"""A bundle as a system of the report: a long candidate has the row of its best chunk, as in the service."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.bundle.files import Bundle, save_bundle
from models.heads import Calibration
from models.loading import open_encoder, open_scorer
from models.text import Pair
from tests.support.bundles import HEADS, WORDS, graph_bytes, manifest, tokenizer_json, write_tiny_bundle
from tests.support.split_bundles import write_split_bundle
from training.data.lists import FieldList
from training.evaluation.systems.bundles import bundle_system
from training.evaluation.systems.interface import Kind

LONG = " ".join(f"{one} {other}" for one in WORDS for other in WORDS[:3])
LISTS = [
    FieldList("a", "made", "test", {"headline": "data engineer"}, [{"title": LONG}, {"title": "chef"}], {}),
    FieldList("b", "made", "test", {"headline": "nurse"}, [{"title": "chef"}, {"title": LONG}], {}),
]


def scores_of(bundle: Path) -> list[float]:
    """Of each list's candidates, in order."""
    kind: Kind = "student"
    scores: list[float] = bundle_system(bundle, "bundle", kind).score(LISTS)["overall"].tolist()
    return scores


@pytest.mark.parametrize("write", [write_tiny_bundle, write_split_bundle])
def test_a_long_candidate_is_scored_by_its_best_chunk(tmp_path: Path, write: Callable[..., Bundle]) -> None:
    text = write(tmp_path / "plain").manifest.text.model_copy(update={"chunks": 8})
    bundle = write(tmp_path / "chunks", text=text, chunk_discount=0.2)
    without, found = scores_of(tmp_path / "plain"), scores_of(tmp_path / "chunks")
    assert found[1:3] == pytest.approx(without[1:3], abs=1e-6)  # the short ones
    assert found[0] != pytest.approx(without[0], abs=1e-4)
    encoder, scorer = open_encoder(bundle), open_scorer(bundle, "cpu")
    member, chunks = encoder.member("data engineer"), encoder.read_candidates([LONG])[0].chunks
    best = float(scorer.score([Pair(member, ids) for ids in chunks])[:, 0].max())
    odds = best / (1 - best) / len(chunks) ** 0.2
    assert found[0] == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert len(chunks) > 2


@pytest.mark.parametrize(("intercept", "is_open"), [(-100.0, True), (100.0, False)], ids=["left open", "answered"])
def test_a_pair_that_a_head_leaves_open_has_no_score(tmp_path: Path, intercept: float, is_open: bool) -> None:
    gate = Calibration(slope=1.0, intercept=intercept)
    heads = (HEADS[0], HEADS[1].model_copy(update={"answerable": gate}))
    contents = {"tiny.onnx": graph_bytes(num_heads=3), "tokenizer.json": tokenizer_json().encode()}
    save_bundle(tmp_path / "open", manifest(heads=heads, known_answers=()), contents)
    found = bundle_system(tmp_path / "open", "bundle", "student").score(LISTS)
    assert np.isnan(found["apply"]).tolist() == [is_open] * 4
    assert not np.isnan(found["overall"]).any()
