"""Several products in one process: routed by the name of their bundle, each with its own versions and candidates."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.products.wiring import bundles_by_name
from service.settings import BadSetting, ModelSettings, read_settings
from tests.support.bundles import write_tiny_bundle
from tests.support.fakes import load_tiny
from tests.support.metrics import read
from tests.support.service import CANDIDATES, Running, Serve, in_process, settings_of
from tests.support.split_bundles import write_split_bundle

JOBS, GOODS = "jobs", "goods"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Two versions of each of two products, whose answers differ."""
    for seed, (name, version) in enumerate([(JOBS, "1"), (JOBS, "2"), (GOODS, "1"), (GOODS, "2")]):
        write_split_bundle(tmp_path / name / f"v{version}", seed=seed, name=name, version=version)
    return tmp_path


def start(serve: Serve, shelf: Path, **changes: object) -> Running:
    return serve(bundle=shelf / JOBS / "v1", more_bundles=[shelf / GOODS / "v1"], **changes)


@pytest.fixture
def running(serve: Serve, shelf: Path) -> Running:
    return start(serve, shelf)


def scored(running: Running, model: str | None = None, **changes: object) -> dict[str, Any]:
    named = {} if model is None else {"model": model}
    answer = running.score(**named, **changes)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def scores(body: dict[str, Any]) -> list[float | None]:
    return [each["score"] for each in body["scores"]]


def alone(bundle: Path) -> list[float | None]:
    """The scores of a service with one bundle."""
    with in_process(settings_of(bundle)) as single:
        return scores(scored(single))


def act(running: Running, path: str, **body: object) -> httpx.Response:
    return running.client.post(f"/v1/models/{path}", json=body or None)


def test_a_request_is_answered_by_the_product_that_it_names(running: Running, shelf: Path) -> None:
    default, jobs, goods = (scored(running, name) for name in (None, JOBS, GOODS))
    assert [each["model"]["name"] for each in (default, jobs, goods)] == [JOBS, JOBS, GOODS]
    assert scores(default) == scores(jobs) == alone(shelf / JOBS / "v1")
    assert scores(goods) == alone(shelf / GOODS / "v1")


def test_an_unknown_name_is_404_without_being_repeated(running: Running) -> None:
    for answer in (
        running.score(model="canary7c1f"),
        running.client.put("/candidates", json={"candidates": CANDIDATES, "model": "canary7c1f"}),
        running.client.delete("/candidates/j1?model=canary7c1f"),
        running.client.get("/candidates:progress?model=canary7c1f"),
        act(running, "canary7c1f/1:activate"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:fitscore:not-found")
        assert "canary7c1f" not in answer.text


def test_one_bundle_knows_its_own_name_only(usual: Running) -> None:
    assert usual.score(model="tiny").json()["scores"] == usual.score().json()["scores"]
    assert usual.score(model="jobs").status_code == 404
    assert usual.score(model=None).status_code == 200


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank_is_answered_by_the_named_product_or_the_default_one(running: Running, path: str) -> None:
    def ranked(**named: str) -> dict[str, Any]:
        body = {"query": "data engineer", "documents": ["senior data engineer", "chef"], **named}
        found: dict[str, Any] = running.client.post(path, json=body).json()
        return found

    assert [ranked(**named)["model"] for named in ({}, {"model": JOBS}, {"model": GOODS})] == [
        "jobs-v1", "jobs-v1", "goods-v1",
    ]  # fmt: skip
    foreign = ranked(model="rerank-v3.5")
    assert foreign["results"] == ranked()["results"]
    assert "model" in " ".join(foreign["meta"]["warnings"])
    assert "model" not in " ".join(ranked(model=GOODS).get("meta", {}).get("warnings", []))


def test_stored_candidates_belong_to_one_product(running: Running) -> None:
    texts = {JOBS: "senior data engineer", GOODS: "pastry chef"}
    for name, text in texts.items():
        stored = {"candidates": [{"id": "x", "text": text}], "model": name}
        assert running.client.put("/candidates", json=stored).status_code == 200
    by_id = {name: scores(scored(running, name, candidates=[{"id": "x"}])) for name in texts}
    for name, text in texts.items():
        assert by_id[name] == scores(scored(running, name, candidates=[{"id": "y", "text": text}]))
    assert running.client.delete(f"/candidates/x?model={GOODS}").status_code == 204
    assert scored(running, GOODS, candidates=[{"id": "x"}])["scores"][0]["status"] == "unknown_candidate"
    assert scores(scored(running, JOBS, candidates=[{"id": "x"}])) == by_id[JOBS]
    assert running.client.get(f"/candidates:progress?model={GOODS}").json()["waiting"] == 0


def test_versions_and_rollouts_belong_to_one_product(running: Running, shelf: Path) -> None:
    assert act(running, "2:activate").json()["name"] == JOBS  # without a name: the default product
    assert act(running, f"{GOODS}/2:canary", share=1.0).json()["rollout"] == {"mode": "canary", "share": 1.0}
    assert [scored(running, name)["model"]["version"] for name in (JOBS, GOODS)] == ["2", "2"]
    assert act(running, f"{GOODS}/2:canary", share=0.0).status_code == 200
    assert [scored(running, name)["model"]["version"] for name in (JOBS, GOODS)] == ["2", "1"]
    assert scores(scored(running, JOBS)) == alone(shelf / JOBS / "v2")
    activated = act(running, f"{GOODS}/2:activate").json()
    assert len(activated.pop("digest")) == 64
    assert activated == {
        "name": GOODS, "version": "2", "policy": "tiny-policy@1", "live": True, "rollout": None, "fill": None,
    }  # fmt: skip
    assert act(running, f"{JOBS}/2:rollback").json()["version"] == "1"
    listed = running.client.get("/v1/models").json()["models"]
    assert [(each["name"], each["version"], each["live"]) for each in listed] == [
        (JOBS, "1", True), (JOBS, "2", False), (GOODS, "1", False), (GOODS, "2", True),
    ]  # fmt: skip
    assert act(running, f"{GOODS}/9:activate").status_code == 404


def test_a_failed_rollout_is_the_fault_of_its_product(running: Running) -> None:
    goods = running.app.parts.products.named(GOODS)
    goods.models.current.end("canary of version 2 ended")
    listed = running.client.get("/v1/models").json()
    assert (listed["fault"], listed["faults"]) == (None, {GOODS: "canary of version 2 ended"})


def test_quotas_are_kept_by_product(serve: Serve, shelf: Path) -> None:
    running = start(serve, shelf, quota_pairs_per_s=0.001, quota_burst=len(CANDIDATES))
    assert [running.score(model=name).status_code for name in (JOBS, GOODS, JOBS, GOODS)] == [200, 200, 429, 429]


def test_each_product_has_its_own_series_and_the_sums_stay(running: Running) -> None:
    before = read(running)
    scored(running, GOODS)
    scored(running, JOBS)
    scored(running, GOODS)
    running.score(model=GOODS, blend={"unknown": 1})
    found = read(running)
    moved = {name: found[name] - before.get(name, 0.0) for name in found}
    assert moved['fitscore_model_requests_total{model="goods",outcome="ok"}'] == 2
    assert moved['fitscore_model_requests_total{model="goods",outcome="invalid"}'] == 1
    assert moved['fitscore_model_requests_total{model="jobs",outcome="ok"}'] == 1
    assert moved['fitscore_model_pairs_total{model="goods",status="scored"}'] == 4
    assert moved['fitscore_pairs_total{status="scored"}'] == 6
    assert moved['fitscore_head_score_count{head="relevance",model="goods"}'] == 4
    assert found['fitscore_model_unfinished_seconds{model="goods"}'] == 0
    infos = [name for name in found if name.startswith("fitscore_model_info")]
    assert [('name="jobs"' in each, 'name="goods"' in each) for each in infos] == [(True, False), (False, True)]


def test_two_products_with_equal_versions_in_rollout_have_different_series(running: Running) -> None:
    for name in (JOBS, GOODS):
        act(running, f"{name}/2:shadow", share=1.0)
    running.client.get("/metrics").raise_for_status()
    found = read(running)
    assert {f'fitscore_rollout_share{{model="{name}",stage="shadow",version="2"}}' for name in (JOBS, GOODS)} <= set(
        found
    )


def test_a_bundle_that_cannot_be_loaded_stops_the_start_whichever_product_it_is(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / JOBS / "v1", more_bundles=[shelf / "none"])
    assert running.failures == [f"{shelf / 'none'} is not a bundle: no such folder"]


def test_readiness_waits_for_every_product(running: Running) -> None:
    assert all(product.models.current.live is not None for product in running.app.parts.products)
    assert running.client.get("/startupz").status_code == 200


def test_two_bundles_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_tiny_bundle(tmp_path / folder)
    with pytest.raises(BadSetting, match=r"FITSCORE_MORE_BUNDLES: .*a and .*b are both named tiny"):
        bundles_by_name(ModelSettings(bundle=tmp_path / "a", more_bundles=(tmp_path / "b",)))


def test_the_setting_lists_folders() -> None:
    assert read_settings({"FITSCORE_MORE_BUNDLES": " a/b, c "}).model.more_bundles == (Path("a/b"), Path("c"))
    assert read_settings({"FITSCORE_MORE_BUNDLES": ""}).model.more_bundles == ()


def test_the_memory_of_caches_is_divided_and_not_multiplied(running: Running) -> None:
    caches = [product.encoding.token_cache for product in running.app.parts.products]
    assert [cache._max_bytes for cache in caches] == [32 << 20] * 2
    assert [product.encoding.background.room for product in running.app.parts.products] == [10_000] * 2


def test_bundles_are_loaded_one_at_a_time(serve: Serve, shelf: Path) -> None:
    """Each load checks the free memory, so two at once could both find enough for one."""
    at_once: list[int] = []
    loading = 0

    def load(path: Path) -> Any:
        nonlocal loading
        loading += 1
        at_once.append(loading)
        try:
            return load_tiny(path)
        finally:
            loading -= 1

    running = start(serve, shelf, load=load)

    async def both() -> None:
        await asyncio.gather(*(product.models.activate("2") for product in running.app.parts.products))

    asyncio.run_coroutine_threadsafe(both(), running.app.parts.engine._loop).result(60)
    assert at_once == [1] * 4
