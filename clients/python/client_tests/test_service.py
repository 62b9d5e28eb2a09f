"""Both clients before the real service: `python -m service` with the jobs model, as a process on a loopback port.

SERVE_PYTHON names the interpreter that has the service's packages; without it, it is the one that runs the tests.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fitscore_client import (
    AsyncClient,
    Candidate,
    Client,
    Conflict,
    DeadlineExceeded,
    DeadlinePassed,
    InvalidRequest,
    NotFound,
    QuotaSpent,
    RetryPolicy,
    Unavailable,
    UpsertInterrupted,
)

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parents[1]
MEMBER = {"headline": "Data engineer", "skills": ["python", "spark"]}
NEAR = Candidate("near", {"title": "Senior data engineer", "description": "python platform"})
FAR = Candidate("far", "Pastry chef. Bake for a small hotel.")
ODD_IDS = ["a/b", "..", "../x", "50% & more?", "#é", "a b"]
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    python = os.environ.get("SERVE_PYTHON", sys.executable)
    settings = {
        "BUNDLE": "models/jobs-v1",
        "PORT": "0",
        "THREADS": "1",
        "QUOTA_PAIRS_PER_S": "1000",
        "QUOTA_BURST": "1000",
    }
    own = {name: text for name, text in os.environ.items() if not name.startswith("FITSCORE_")}
    environment = {**own, **{f"FITSCORE_{name}": text for name, text in settings.items()}}
    with subprocess.Popen(
        [python, "-m", "service"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            port = next(
                (found[1] for line in process.stderr if (found := re.search(r"listening on .*:(\d+)", line))), 0
            )
            assert port, "the service did not start"
            assert any("ready: " in line for line in process.stderr)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, budget_s=50) as client:
        yield client


def test_scores_and_ranks(client: Client) -> None:
    answer = client.score(MEMBER, [FAR, NEAR], blend={"relevance": 1.0})
    assert [each.id for each in answer.best_first()] == ["near", "far"]
    assert [each.status for each in answer.scores] == ["scored", "scored"]
    assert (answer.models[0].name, answer.degraded) == ("jobs", False)
    ranked = client.rerank("Data engineer", ["Pastry chef", {"title": "Data engineer"}], top_n=1)
    assert [each.index for each in ranked.results] == [1]


def test_stored_candidates_are_scored_by_id_until_they_are_deleted(client: Client) -> None:
    assert client.upsert([NEAR, *(Candidate(key, "Nurse") for key in ODD_IDS)], ttl_s=600).upserted == 7
    listed = [Candidate(key) for key in ["near", *ODD_IDS]]
    found = client.score(MEMBER, listed).scores
    assert not {each.status for each in found} & {"unknown_candidate", "invalid"}
    for key in ODD_IDS:
        client.delete(key)
    assert [each.status for each in client.score(MEMBER, listed).scores[1:]] == ["unknown_candidate"] * len(ODD_IDS)
    with pytest.raises(NotFound):
        client.delete("..")


def test_the_state_of_the_service_can_be_read(client: Client) -> None:
    assert client.probe().ok
    assert client.probe("livez").phase == "ready"
    assert client.progress().room > 0
    live = [model for model in client.models().models if model.live]
    assert [(model.name, model.version) for model in live] == [("jobs", "1")]


def test_admin_routes_answer_with_typed_errors(client: Client) -> None:
    with pytest.raises(Conflict):
        client.roll_back("1")
    with pytest.raises(Conflict):
        client.roll_back("none")
    for change in (client.shadow, client.canary):
        with pytest.raises((NotFound, Conflict)):
            change("none", 0.5)
    with pytest.raises(NotFound):
        client.activate("none")


def test_a_wrong_request_names_its_fields(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.score(MEMBER, [NEAR, NEAR])
    assert [each.pointer for each in caught.value.errors] == ["/candidates/1/id"]
    with pytest.raises(UpsertInterrupted) as interrupted:
        client.upsert([NEAR, Candidate("empty")])
    assert interrupted.value.rejected == ("empty",)
    with pytest.raises(InvalidRequest):
        client.score(MEMBER, [])


def test_a_spent_quota_is_waited_for(url: str, client: Client) -> None:
    unknown = [Candidate(f"unknown-{number}") for number in range(1000)]

    def score_until_refused() -> None:
        with Client(url, budget_s=50, policy=RetryPolicy(max_attempts=1)) as impatient:
            for _ in range(20):
                impatient.score(MEMBER, unknown)

    with pytest.raises(QuotaSpent) as caught:
        score_until_refused()
    assert (caught.value.type, caught.value.retry_after_s) == ("urn:fitscore:quota-spent", 1.0)
    assert len(client.score(MEMBER, unknown).scores) == 1000


def test_a_budget_that_is_too_short_scores_nothing(client: Client) -> None:
    many = [Candidate(str(number), "x y z " * 400) for number in range(300)]
    statuses: set[str] = set()
    with suppress(DeadlineExceeded, DeadlinePassed, Unavailable):  # by how far the request came in time
        statuses = {each.status for each in client.score(MEMBER, many, budget_s=0.001).scores}
    assert statuses <= {"cold", "not_scored"}


def test_the_asynchronous_client_gives_the_same_scores(url: str, client: Client) -> None:
    async def score() -> list[float | None]:
        async with AsyncClient(url, budget_s=50, hedge_after_s=20) as client:
            answers = await asyncio.gather(*(client.score(MEMBER, [FAR, NEAR]) for _ in range(4)))
        return [each.score for each in answers[-1].scores]

    assert asyncio.run(score()) == pytest.approx(
        [each.score for each in client.score(MEMBER, [FAR, NEAR]).scores], abs=1e-3
    )


def test_two_base_urls_score_as_one(url: str) -> None:
    with Client([url, url.replace("127.0.0.1", "localhost")], budget_s=50) as both:
        candidates = [Candidate(f"c-{number}", "Data engineer") for number in range(8)]
        assert both.upsert(candidates).upserted == 8
        answer = both.score(MEMBER, [Candidate(each.id) for each in candidates])
    assert [each.id for each in answer.scores] == [each.id for each in candidates]
    assert len(answer.models) == 1


def test_the_example_of_the_documentation_runs(url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, str(PACKAGE / "examples" / "score.py"), url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"2 stored, 0 left\nj-1 0\.\d+\nj-2 0\.\d+\nj-3 0\.\d+\n", done.stdout)
