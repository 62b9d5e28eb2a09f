"""A pair on which the graph fails loses its own score and no other. The errors come from onnxruntime."""

from pathlib import Path

import pytest

from tests.support.metrics import read
from tests.support.poison_bundles import WORD, Poison, write_poison_bundle
from tests.support.service import MEMBER, Running, Serve

CANDIDATES = [
    {"id": str(place), "text": text} for place, text in enumerate(["chef", "nurse", "data", "python", "bake"])
]
POISONED = [*CANDIDATES[:2], {"id": "bad", "text": f"nurse {WORD}"}, *CANDIDATES[2:]]


def scores(running: Running, candidates: list[dict[str, str]]) -> dict[str, tuple[str, float | None]]:
    answer = running.score(member=MEMBER, candidates=candidates)
    assert answer.status_code == 200, answer.text
    return {each["id"]: (each["status"], each["score"]) for each in answer.json()["scores"]}


@pytest.mark.parametrize("poison", ["gather", "memory", "nan"])
def test_a_poison_pair_fails_alone_and_the_others_keep_their_scores(
    serve: Serve, tmp_path: Path, poison: Poison
) -> None:
    running = serve(bundle=write_poison_bundle(tmp_path / "bundle", poison))
    sound = scores(running, CANDIDATES)
    mixed = scores(running, POISONED)
    assert mixed.pop("bad") == ("failed", None)
    assert {status for status, _ in mixed.values()} == {"scored"}
    for name, (_, score) in sound.items():
        assert score == pytest.approx(mixed[name][1], abs=1e-6)
    kind = "not_finite" if poison == "nan" else "error"
    assert read(running)[f'fitscore_session_run_errors_total{{kind="{kind}"}}'] >= 1
    assert scores(running, CANDIDATES) == sound
    assert running.client.get("/livez").status_code == 200


def test_a_request_of_poison_pairs_gets_a_degraded_answer(serve: Serve, tmp_path: Path) -> None:
    running = serve(bundle=write_poison_bundle(tmp_path / "bundle", "gather"))
    assert scores(running, [POISONED[2]]) == {"bad": ("failed", None)}
