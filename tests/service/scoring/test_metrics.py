"""The histogram of each head's scores."""

from tests.support.metrics import read
from tests.support.service import CANDIDATES, MEMBER, Serve


def test_each_scored_candidate_is_counted_under_its_head(serve: Serve) -> None:
    running = serve()
    answer = running.client.post(
        "/score", json={"member": MEMBER, "candidates": [*CANDIDATES, {"id": "x", "text": " "}]}
    )
    scores = [each["heads"]["relevance"] for each in answer.json()["scores"] if each["status"] == "scored"]
    found = read(running)
    assert len(scores) == len(CANDIDATES)
    assert found['fitscore_head_score_count{head="relevance"}'] == len(scores)
    for bound in (0.05, 0.5, 0.95):
        below = found[f'fitscore_head_score_bucket{{head="relevance",le="{bound}"}}']
        assert below == sum(score <= bound for score in scores)
    assert abs(found['fitscore_head_score_sum{head="relevance"}'] - sum(scores)) < 1e-5
    assert 'fitscore_head_score_count{head="apply"}' in found


def test_readiness_and_the_process_are_shown(serve: Serve) -> None:
    found = read(serve())
    assert found["fitscore_ready"] == 1
    assert found["process_resident_memory_bytes"] > 1e6
