"""Swaps: many of them under traffic cost no response, and a rollback needs no load."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.registry.loading import LiveModel
from service.registry.swap import Load
from tests.support.bundles import write_tiny_bundle
from tests.support.fakes import load_tiny
from tests.support.service import Running, Serve

SWAPS = 50
ORDER = "2121231"
"""Some of these swaps load a bundle; most find the model in memory."""


class CountedLoads:
    """The real loader, counted."""

    def __init__(self, load: Load = load_tiny) -> None:
        self._load = load
        self.paths: list[str] = []

    def __call__(self, path: Path) -> LiveModel:
        self.paths.append(path.name)
        return self._load(path)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with three versions of the tiny model, whose answers differ."""
    for number in (1, 2, 3):
        write_tiny_bundle(tmp_path / f"tiny-v{number}", seed=number, version=str(number))
    return tmp_path


def activate(running: Running, version: str) -> httpx.Response:
    return running.client.post(f"/v1/models/{version}:activate")


def scores_of(body: dict[str, Any]) -> list[float]:
    return [each["score"] for each in body["scores"]]


def scores_by_version(running: Running) -> dict[str, list[float]]:
    """The scores of the usual request by version, without other traffic."""
    found = {}
    for version in "231":
        assert activate(running, version).status_code == 200
        found[version] = scores_of(running.score().json())
    return found


def traffic(running: Running, responses: list[httpx.Response], ended: threading.Event) -> Callable[[], None]:
    def ask() -> None:
        while not ended.is_set():
            responses.append(running.score())

    return ask


def test_fifty_swaps_under_traffic_lose_no_request_and_every_response_belongs_to_its_version(
    serve: Serve, shelf: Path
) -> None:
    running = serve(bundle=shelf / "tiny-v1", load=CountedLoads())
    expected = scores_by_version(running)
    for one, other in ("12", "13", "23"):
        assert expected[one] != pytest.approx(expected[other], abs=0.01)
    responses: list[httpx.Response] = []
    ended = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(traffic(running, responses, ended)) for _ in range(3)]
        swapped = [activate(running, ORDER[swap % len(ORDER)]).status_code for swap in range(SWAPS)]
        ended.set()
        for each in asking:
            each.result()
    assert swapped == [200] * SWAPS
    assert [answer.status_code for answer in responses] == [200] * len(responses)
    bodies = [answer.json() for answer in responses]
    assert {body["model"]["version"] for body in bodies} == {"1", "2", "3"}
    for body in bodies:
        assert scores_of(body) == pytest.approx(expected[body["model"]["version"]], abs=1e-5)


def test_a_rollback_returns_to_the_version_before_without_a_load(serve: Serve, shelf: Path) -> None:
    loads = CountedLoads()
    running = serve(bundle=shelf / "tiny-v1", load=loads)
    before = running.score().json()
    activate(running, "2")
    for path in (shelf / "tiny-v1").iterdir():
        path.unlink()  # a rollback must not depend on the disk
    answer = running.client.post("/v1/models/2:rollback")
    assert (answer.status_code, answer.json()["version"], answer.json()["live"]) == (200, "1", True)
    assert running.score().json() == before
    assert activate(running, "2").json()["version"] == "2"  # nor does the next activation
    assert loads.paths == ["tiny-v1", "tiny-v2"]


def test_a_repeated_rollback_goes_back_once(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1")
    activate(running, "2")
    answers = [running.client.post("/v1/models/2:rollback") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert running.score().json()["model"]["version"] == "1"


def test_the_first_model_cannot_be_rolled_back(serve: Serve, shelf: Path) -> None:
    answer = serve(bundle=shelf / "tiny-v1").client.post("/v1/models/1:rollback")
    assert (answer.status_code, answer.json()["detail"]) == (409, "no earlier model is in memory")


def replace_bundle(shelf: Path, version: str, seed: int) -> None:
    """Put other files into a version's folder, with a manifest of their own."""
    shutil.rmtree(shelf / f"tiny-v{version}")
    write_tiny_bundle(shelf / f"tiny-v{version}", seed=seed, version=version)


def test_a_bundle_that_was_replaced_under_its_version_is_loaded_again(serve: Serve, shelf: Path) -> None:
    loads = CountedLoads()
    running = serve(bundle=shelf / "tiny-v1", load=loads)
    activate(running, "2")
    before = scores_of(running.score().json())
    activate(running, "1")
    replace_bundle(shelf, "2", seed=7)
    assert activate(running, "2").status_code == 200
    after = scores_of(running.score().json())
    assert after != pytest.approx(before, abs=0.01)
    assert loads.paths == ["tiny-v1", "tiny-v2", "tiny-v2"]
    activate(running, "1")
    activate(running, "2")  # unchanged, so from memory
    assert scores_of(running.score().json()) == after
    assert loads.paths == ["tiny-v1", "tiny-v2", "tiny-v2"]


def test_the_live_version_is_loaded_again_if_its_bundle_was_replaced(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1")
    before = scores_of(running.score().json())
    replace_bundle(shelf, "1", seed=8)
    assert activate(running, "1").json()["live"] is True
    assert scores_of(running.score().json()) != pytest.approx(before, abs=0.01)
    assert running.client.post("/v1/models/1:rollback").status_code == 200
    assert scores_of(running.score().json()) == before


def test_a_canary_is_the_bundle_as_it_is_now(serve: Serve, shelf: Path) -> None:
    loads = CountedLoads()
    running = serve(bundle=shelf / "tiny-v1", load=loads)
    for seed in (2, 9):
        replace_bundle(shelf, "2", seed=seed)
        assert running.client.post("/v1/models/2:canary", json={"share": 1}).status_code == 200
    assert loads.paths == ["tiny-v1", "tiny-v2", "tiny-v2"]


def test_a_bundle_that_was_replaced_by_a_damaged_one_is_refused(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1")
    activate(running, "2")
    activate(running, "1")
    manifest = shelf / "tiny-v2" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    answer = activate(running, "2")
    assert (answer.status_code, "manifest.json" in answer.json()["detail"]) == (409, True)
    assert running.score().json()["model"]["version"] == "1"
