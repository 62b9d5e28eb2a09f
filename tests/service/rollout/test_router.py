"""Shadow and canary: a share of the traffic, the metrics of a candidate, and its automatic end."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.registry.loading import LiveModel
from service.registry.operations import pair_operation
from service.request import Item
from service.rollout.router import place_of
from tests.support.bundles import HEADS, write_tiny_bundle
from tests.support.fakes import SumScorer, load_tiny, pair_operation_of
from tests.support.service import MEMBER, Running, Serve
from tests.support.waiting import eventually

Edit = Callable[[NDArray[np.float32]], NDArray[np.float32]]
SMALL_SAMPLE = {"rollout_min_requests": 20, "rollout_min_scores": 40, "rollout_slowness": 100}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Two versions of the tiny model; only the version differs."""
    write_tiny_bundle(tmp_path / "tiny-v1")
    write_tiny_bundle(tmp_path / "tiny-v2", version="2")
    return tmp_path


def second_is(edit: Edit) -> Callable[[Path], LiveModel]:
    """A loader whose version 2 has its rows changed by `edit`."""

    def load(path: Path) -> LiveModel:
        model = load_tiny(path)
        if model.version != "2":
            return model
        return replace(model, operations=pair_operation(SumScorer(edit), pair_operation_of(model).batch_policy))

    return load


def roll_out(running: Running, mode: str, share: float) -> httpx.Response:
    return running.client.post(f"/v1/models/2:{mode}", json={"share": share})


def members(share: float, num: int) -> list[dict[str, Any]]:
    """Members, of which this share belongs to version 2, evenly spaced."""
    takers: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for number in range(20 * num):
        within = place_of(Item(f"m{number}", None), "tiny/2") < share
        (takers if within else others).append({**MEMBER, "id": f"m{number}"})
    taken = [int((place + 1) * share + 1e-9) > int(place * share + 1e-9) for place in range(num)]
    return [(takers if takes else others).pop(0) for takes in taken]


def versions(running: Running, requests: int, share: float = 0.5) -> Counter[str]:
    return Counter(running.score(member=each).json()["model"]["version"] for each in members(share, requests))


def listed(running: Running) -> dict[str, object]:
    found: dict[str, object] = running.client.get("/v1/models").json()
    return found


def rollout_of(running: Running) -> object:
    return running.client.get("/v1/models").json()["models"][1]["rollout"]


def figure(running: Running, name: str, version: str) -> float | None:
    for line in running.client.get("/metrics").text.splitlines():
        if line.startswith(f"fitscore_{name}{{") and f'version="{version}"' in line:
            return float(line.rsplit(" ", 1)[1])
    return None


def test_a_canary_scores_its_share_and_no_more(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1")
    answer = roll_out(running, "canary", 0.25)
    assert answer.status_code == 200
    assert answer.json()["rollout"] == {"mode": "canary", "share": 0.25}
    assert versions(running, 40, 0.25) == {"1": 30, "2": 10}
    assert figure(running, "version_requests_total", "1") == 30
    assert figure(running, "version_requests_total", "2") == 10
    assert roll_out(running, "canary", 0).json()["rollout"] is None
    assert versions(running, 8) == {"1": 8}


def test_a_shadow_scores_its_share_and_its_scores_are_dropped(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1")
    roll_out(running, "shadow", 0.5)
    assert versions(running, 20) == {"1": 20}
    eventually(lambda: figure(running, "version_requests_total", "2") == 10)
    assert figure(running, "version_requests_total", "1") == 10
    assert figure(running, "rollout_psi", "2") == 0.0  # the very same graph
    assert rollout_of(running) == {"mode": "shadow", "share": 0.5}


def of_member(running: Running, **member: object) -> str:
    version: str = running.score(member=member).json()["model"]["version"]
    return version


def test_one_member_always_gets_one_version(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1")
    roll_out(running, "canary", 0.5)
    found = {number: of_member(running, id=f"m{number}", text="data engineer") for number in range(40)}
    assert set(found.values()) == {"1", "2"}
    for number, version in found.items():  # the id decides, also while the member's text changes
        assert of_member(running, id=f"m{number}", fields={"headline": f"chef {number}"}) == version
    roll_out(running, "canary", 0.75)  # a larger share keeps the members of the smaller one
    for number, version in found.items():
        assert version == "1" or of_member(running, id=f"m{number}", text="nurse") == "2"


def test_without_an_id_the_members_content_decides(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1")
    roll_out(running, "canary", 0.5)
    texts = [f"data engineer {number}" for number in range(30)]
    found = [of_member(running, text=text) for text in texts]
    assert set(found) == {"1", "2"}
    assert [of_member(running, text=text) for text in texts] == found
    turned = {"skills": ["python"], "headline": "chef"}
    assert of_member(running, fields=turned) == of_member(running, fields=dict(reversed(turned.items())))
    ranked = [running.client.post("/rerank", json={"query": text, "documents": ["chef"]}).json() for text in texts]
    assert [each["model"] for each in ranked] == [f"tiny-v{version}" for version in found]


def test_a_share_is_that_share_of_many_members() -> None:
    places = [place_of(Item(f"m{number}", None), "jobs/2") for number in range(10_000)]
    for share in (0.01, 0.05, 0.5, 0.99, 1.0):
        assert sum(place < share for place in places) == pytest.approx(10_000 * share, abs=200)
    assert min(places) >= 0
    again = [place_of(Item(f"m{number}", None), "jobs/3") for number in range(10_000)]
    both = sum(one < 0.5 and other < 0.5 for one, other in zip(places, again, strict=True))
    assert both == pytest.approx(2500, abs=200)  # another version takes other members


def none_finite(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full_like(rows, np.nan)


def always_sure(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full_like(rows, 0.99)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (none_finite, "canary of version 2 ended: it failed 100.0% of its requests, the live model 0.0%"),
        (always_sure, "canary of version 2 ended: it has other scores than the live model: PSI "),
    ],
)
def test_a_bad_canary_is_ended(serve: Serve, shelf: Path, edit: Edit, fault: str) -> None:
    running = serve(bundle=shelf / "tiny-v1", load=second_is(edit), **SMALL_SAMPLE)
    roll_out(running, "canary", 0.5)
    seen = versions(running, 60)
    assert seen["2"] == 20  # the least that it may be judged by
    assert str(listed(running)["fault"]).startswith(fault)
    assert rollout_of(running) is None
    assert "fitscore_rollouts_failed_total 1.0" in running.client.get("/metrics").text


def test_a_shadow_with_other_scores_is_ended_and_no_client_sees_it(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1", load=second_is(always_sure), **SMALL_SAMPLE)
    roll_out(running, "shadow", 1.0)
    asked = 0
    while rollout_of(running) is not None:
        assert running.score().json()["model"]["version"] == "1"
        asked += 1
    assert asked >= 20
    assert "PSI" in str(listed(running)["fault"])


def test_a_good_canary_stays_and_becomes_live_without_a_load(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1", **SMALL_SAMPLE)
    roll_out(running, "canary", 0.5)
    assert versions(running, 60) == {"1": 30, "2": 30}
    for path in (shelf / "tiny-v2").iterdir():
        path.unlink()
    assert running.client.post("/v1/models/2:activate").json()["live"] is True
    assert versions(running, 4) == {"2": 4}


def test_a_rollout_without_a_comparable_model_is_rejected(serve: Serve, shelf: Path) -> None:
    other = tuple(head.model_copy(update={"name": f"other-{head.name}"}) for head in HEADS)
    write_tiny_bundle(shelf / "tiny-v3", version="3", heads=other, default_blend={"other-apply": 1.0})
    client = serve(bundle=shelf / "tiny-v1").client
    for version, share, status in (("1", 0.5, 409), ("3", 0.5, 409), ("9", 0.5, 404), ("2", 0, 409), ("2", 1.5, 422)):
        assert client.post(f"/v1/models/{version}:canary", json={"share": share}).status_code == status
