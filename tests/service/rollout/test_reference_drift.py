"""Live traffic beside the reference in the bundle: planted drift is above the alert's bound, the same traffic below."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models.bulk.model import open_model
from models.bulk.reference import measured_reference
from models.bundle.files import Bundle
from models.bundle.reference import TOKEN_BOUNDS, UNKNOWN_BOUNDS, tokens_bin, unknown_bin
from models.text import TokenCounts
from service.encoding.inputs import Readings
from service.rollout.reference_drift import SAMPLE, SLICE_S, WINDOW_S, ReferenceDrift
from service.scoring.blending import ScoringResult
from tests.support.bundles import WORDS, write_tiny_bundle
from tests.support.metrics import read
from tests.support.service import Serve

BOUND = 0.25
"""That of the alert FitscoreReferenceDrift."""
CANDIDATES = 20


def texts(seed: int, words: Sequence[str], length: int, number: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(1, length))) for _ in range(number)]


def lists(seed: int, words: Sequence[str] = WORDS, length: int = 6) -> list[tuple[str, list[str]]]:
    """Members with candidates; the seed draws other texts of the same kind."""
    members = texts(seed, WORDS, 6, 40)
    return [(member, texts(seed + place, words, length, CANDIDATES)) for place, member in enumerate(members, start=1)]


@pytest.fixture
def referenced(tmp_path: Path) -> Path:
    """A bundle with the reference of some lists."""
    write_tiny_bundle(tmp_path / "plain-v1")
    reference = measured_reference(open_model(tmp_path / "plain-v1"), lists(1000))
    write_tiny_bundle(tmp_path / "tiny-v1", reference=reference)
    return tmp_path / "tiny-v1"


def psi_of(bundle: Path, serve: Serve, sent: Sequence[tuple[str, Sequence[str]]]) -> dict[str, float]:
    """The PSI of each distribution after this traffic, with a scrape now and then."""
    service = serve(bundle=bundle)
    for place, (member, candidates) in enumerate(sent):
        body = [{"id": str(number), "text": text} for number, text in enumerate(candidates)]
        assert service.score(member={"text": member}, candidates=body).status_code == 200
        if place % 20 == 0:
            read(service)
    found = read(service)
    assert found['fitscore_drift_counted{kind="tokens",of="member",version="1"}'] == len(sent)
    wanted = ("score", "relevance"), ("score", "apply"), ("tokens", "candidate"), ("unknown", "candidate")
    return {f"{kind} {of}": found[f'fitscore_drift_psi{{kind="{kind}",of="{of}",version="1"}}'] for kind, of in wanted}


def test_the_same_kind_of_traffic_stays_below_the_alert(referenced: Path, serve: Serve) -> None:
    assert max(psi_of(referenced, serve, lists(1)).values()) < BOUND


def test_a_small_reference_shows_no_index(referenced: Path, serve: Serve) -> None:
    service = serve(bundle=referenced)
    for _ in range(40):
        service.score(candidates=[{"id": str(number), "text": "chef"} for number in range(CANDIDATES)])
    found = read(service)
    assert 'fitscore_drift_psi{kind="tokens",of="candidate",version="1"}' in found
    assert 'fitscore_drift_psi{kind="tokens",of="member",version="1"}' not in found  # 40 members in the reference


def test_longer_texts_are_above_it(referenced: Path, serve: Serve) -> None:
    found = psi_of(referenced, serve, lists(1, length=14))
    assert found["tokens candidate"] > BOUND
    assert found["unknown candidate"] < BOUND


def test_texts_of_another_language_are_above_it(referenced: Path, serve: Serve) -> None:
    found = psi_of(referenced, serve, lists(1, words=[*WORDS, "\u2603", "\u2604"]))
    assert found["unknown candidate"] > BOUND


def test_scores_of_another_population_are_above_it(referenced: Path, serve: Serve) -> None:
    found = psi_of(referenced, serve, lists(1, words=["chef", "nurse"]))
    assert found["score relevance"] > BOUND
    assert found["unknown candidate"] < BOUND


def test_a_bundle_without_a_reference_loads_and_shows_nothing(tmp_path: Path, serve: Serve) -> None:
    write_tiny_bundle(tmp_path / "tiny-v1")
    assert b"reference" not in (tmp_path / "tiny-v1" / "manifest.json").read_bytes()
    service = serve(bundle=tmp_path / "tiny-v1")
    assert service.score().status_code == 200
    assert not [name for name in read(service) if name.startswith("fitscore_drift")]


def test_a_reference_survives_its_bundle(referenced: Path) -> None:
    reference = Bundle.load(referenced).manifest.reference
    assert reference is not None
    assert sum(reference.score["relevance"]) == sum(reference.tokens["candidate"]) == 40 * CANDIDATES
    assert sum(reference.unknown["member"]) == 40


def test_bins_hold_their_upper_bounds() -> None:
    assert [tokens_bin(bound) for bound in TOKEN_BOUNDS] == list(range(len(TOKEN_BOUNDS)))
    assert tokens_bin(10**6) == len(TOKEN_BOUNDS)
    assert (unknown_bin(0, 0), unknown_bin(0, 9), unknown_bin(1, 2), unknown_bin(2, 2)) == (
        0,
        0,
        5,
        len(UNKNOWN_BOUNDS),
    )


def result_of(bundle: Bundle, digest: str = "one", version: str = "1") -> ScoringResult:
    manifest = bundle.manifest
    model = SimpleNamespace(
        name="tiny", version=version, digest=digest, heads=("relevance", "apply"), reference=manifest.reference
    )
    rows = np.full((CANDIDATES, 2), 0.5, np.float32)
    known = TokenCounts(3, 0, 0)
    readings = cast("Readings", SimpleNamespace(member=known, candidates=dict.fromkeys(range(CANDIDATES), known)))
    return cast("ScoringResult", SimpleNamespace(model=model, rows=rows, readings=readings))


def counted(drift: ReferenceDrift) -> dict[str, float]:
    """Counted scores of `relevance` by version."""
    [_, family] = list(drift.collect())
    return {
        each.labels["version"]: each.value
        for each in family.samples
        if each.labels["kind"] == "score" and each.labels["of"] == "relevance"
    }


def test_the_window_forgets_after_an_hour_and_versions_are_apart(referenced: Path) -> None:
    bundle, clock = Bundle.load(referenced), [0.0]
    drift = ReferenceDrift(now=lambda: clock[0])
    drift.add(result_of(bundle))
    assert counted(drift) == {"1": CANDIDATES}
    clock[0] = WINDOW_S / 2
    drift.add(result_of(bundle))
    drift.add(result_of(bundle, "two", "2"))
    assert counted(drift) == {"1": 2 * CANDIDATES, "2": CANDIDATES}
    clock[0] = WINDOW_S + 2 * SLICE_S
    assert counted(drift) == {"1": CANDIDATES, "2": CANDIDATES}
    clock[0] = 2 * WINDOW_S
    assert counted(drift) == {}


def test_a_request_waits_for_nothing_and_the_queue_is_bounded(referenced: Path) -> None:
    bundle = Bundle.load(referenced)
    drift = ReferenceDrift()
    for _ in range(3 * SAMPLE):
        drift.add(result_of(bundle))
    assert counted(drift) == {"1": SAMPLE * CANDIDATES}


def test_a_reference_with_other_bins_is_refused(referenced: Path) -> None:
    reference = Bundle.load(referenced).manifest.reference
    assert reference is not None
    document: dict[str, Any] = reference.model_dump()
    document["score"]["relevance"] = [1, 2]
    with pytest.raises(ValueError, match=r"score\.relevance must have 20 counts"):
        type(reference).model_validate(document)
