"""Metrics: every series exists from the start and counts what it should."""

import asyncio
import gc
import re

import numpy as np
from numpy.typing import NDArray

from service.app import LABELS
from service.observability.metrics import OPERATIONS, OUTCOMES, ROUTES, STAGES, Metrics
from service.request import ItemStatus
from tests.support.fakes import SumScorer, loading
from tests.support.metrics import read, series
from tests.support.service import Running, Serve
from tests.support.waiting import eventually_here


def test_every_label_exists_before_anything_has_happened() -> None:
    found = series(Metrics(*LABELS).render().decode())
    for route in ROUTES:
        assert f'fitscore_request_duration_seconds_count{{route="{route}"}}' in found
        for outcome in OUTCOMES:
            assert found[f'fitscore_requests_total{{outcome="{outcome}",route="{route}"}}'] == 0
    assert all(f'fitscore_stage_duration_seconds_count{{stage="{stage}"}}' in found for stage in STAGES)
    assert all(f'fitscore_pairs_total{{status="{status}"}}' in found for status in ItemStatus)
    assert all(f'fitscore_session_run_errors_total{{kind="{kind}"}}' in found for kind in ("error", "hung", "shape"))
    assert 'fitscore_gc_pause_seconds_count{generation="2"}' in found
    plain = (
        "queue_items backlog_seconds token_cache_hits_total token_cache_misses_total token_cache_bytes engine_alive"
        " event_loop_lag_seconds_count"
    )
    assert {f"fitscore_{name}" for name in plain.split()} <= set(found)
    by_lane = "batch_items_count batch_duration_seconds_count batch_padding_ratio_count"
    by_lane += " expired_items_total departed_items_total"
    assert {f'fitscore_{name}{{lane="{lane}"}}' for name in by_lane.split() for lane in OPERATIONS} <= set(found)


def test_there_are_no_created_series(usual: Running) -> None:
    assert usual.score().status_code == 200
    found = read(usual)
    assert "fitscore_requests_total" in " ".join(found)
    assert [name for name in found if "_created" in name] == []


def test_buckets_begin_at_half_a_millisecond() -> None:
    text = Metrics().render().decode()
    first = re.search(r'fitscore_request_duration_seconds_bucket\{le="([^"]+)"', text)
    assert first is not None
    assert float(first[1]) == 0.0005


def test_a_scored_request_changes_each_of_its_series(serve: Serve) -> None:
    running = serve()
    before = read(running)
    running.score(candidates=[{"id": "a", "text": "chef"}, {"id": "b", "text": "chef"}, {"id": "nobody"}])
    after = read(running)
    moved = {name: after[name] - before.get(name, 0.0) for name in after}
    assert moved['fitscore_requests_total{outcome="ok",route="/score"}'] == 1
    assert moved['fitscore_request_duration_seconds_count{route="/score"}'] == 1
    assert moved['fitscore_pairs_total{status="scored"}'] == 2
    assert moved['fitscore_pairs_total{status="unknown_candidate"}'] == 1
    assert moved['fitscore_batch_items_sum{lane="pair"}'] == 2
    assert moved["fitscore_token_cache_misses_total"] == 1
    stages = set(STAGES) - {"lookup", "encode"}  # of split models
    assert all(moved[f'fitscore_stage_duration_seconds_count{{stage="{stage}"}}'] == 1 for stage in stages)
    assert after["fitscore_engine_alive"] == 1
    assert after["fitscore_queue_items"] == 0
    info = next(name for name in after if name.startswith("fitscore_model_info"))
    assert 'name="tiny"' in info
    assert 'version="1"' in info


def test_errors_are_counted_by_outcome_and_unknown_paths_create_no_series(serve: Serve) -> None:
    running = serve()
    num_series = len(read(running))
    running.client.get("/no/such/path")
    running.client.post("/score", json={})
    after = read(running)
    assert after['fitscore_requests_total{outcome="invalid",route="other"}'] == 1
    assert after['fitscore_requests_total{outcome="invalid",route="/score"}'] == 1
    assert len(after) == num_series


def test_collector_pauses_are_shown_at_the_next_scrape() -> None:
    metrics = Metrics()
    metrics.runtime.on_gc("start", {"generation": 2})
    metrics.runtime.on_gc("stop", {"generation": 2})
    assert series(metrics.render().decode())['fitscore_gc_pause_seconds_count{generation="2"}'] == 1


def test_collector_pauses_are_observed_without_a_scrape_too() -> None:
    metrics = Metrics()
    metrics.runtime.on_gc("start", {"generation": 2})
    metrics.runtime.on_gc("stop", {"generation": 2})

    async def watched() -> None:
        watching = asyncio.create_task(metrics.runtime.watch())
        await eventually_here(
            lambda: metrics.registry.get_sample_value("fitscore_gc_pause_seconds_count", {"generation": "2"})
        )
        watching.cancel()

    asyncio.run(watched())


def test_a_running_service_times_the_collector(serve: Serve) -> None:
    running = serve()
    before = read(running)['fitscore_gc_pause_seconds_count{generation="2"}']
    gc.collect()
    assert read(running)['fitscore_gc_pause_seconds_count{generation="2"}'] > before


def test_the_prewarm_request_is_not_counted(serve: Serve) -> None:
    found = read(serve())
    assert all(found[f'fitscore_requests_total{{outcome="{outcome}",route="/score"}}'] == 0 for outcome in OUTCOMES)
    assert found["fitscore_request_pairs_count"] == 0


def test_a_partial_response_is_an_outcome_of_its_own(serve: Serve) -> None:
    def spoil(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full_like(rows, np.nan)

    running = serve(load=loading(SumScorer(spoil)))
    assert running.score().json()["degraded"] is True
    after = read(running)
    assert after['fitscore_requests_total{outcome="partial",route="/score"}'] == 1
    assert after['fitscore_session_run_errors_total{kind="not_finite"}'] == 1
