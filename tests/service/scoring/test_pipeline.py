"""The scoring pipeline: blending, partial results, backlog, and the model that a request keeps."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from load_tests.fire.faulty_service import mix_versions
from service.errors import Invalid
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.scoring.blending import blend_weights
from service.scoring.pipeline import ScoringPipeline
from tests.support.fakes import GatedScorer, SumScorer, load_tiny, loading
from tests.support.service import Serve
from tests.support.waiting import PATIENCE_S, eventually


@pytest.fixture(scope="module")
def model(bundle: Path) -> LiveModel:
    return load_tiny(bundle)


def test_weights_are_normalised_and_omitted_heads_weigh_nothing(model: LiveModel) -> None:
    assert blend_weights(model, {"relevance": 3, "apply": 1}) == [0.75, 0.25]
    assert blend_weights(model, {"apply": 0.2}) == [0.0, 1.0]


def test_without_a_blend_that_of_the_manifest_counts(model: LiveModel) -> None:
    assert blend_weights(model, None) == pytest.approx([0.7, 0.3])
    assert blend_weights(replace(model, default_blend={"apply": 2}), None) == [0.0, 1.0]


@pytest.mark.parametrize("blend", [{"fame": 1.0}, {"relevance": 0.0}, {}, {"relevance": 1e308, "apply": 1e308}])
def test_a_meaningless_blend_is_invalid(model: LiveModel, blend: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        blend_weights(model, blend)


def test_a_request_whose_deadline_passes_before_its_turn_is_not_tokenised(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve(load=loading(SumScorer()))
    parts = running.app.parts
    gate, pairs = threading.Event(), parts.encoding.texts.pairs
    tokenised: list[tuple[object, ...]] = []

    def noted(*args: Any) -> object:
        tokenised.append(args)
        return pairs(*args)

    monkeypatch.setattr(parts.encoding.texts, "pairs", noted)
    tokenizer = parts.encoding.tokenizer

    def occupy() -> None:
        with tokenizer._at_work:
            assert gate.wait(PATIENCE_S)

    tokenizer._executor.submit(occupy)
    eventually(tokenizer._at_work.locked)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(running.score, deadline_ms=500)
        eventually(lambda: parts.engine.announced_ns or late.done())
        deadline = time.monotonic() + 0.51
        eventually(lambda: time.monotonic() > deadline)
        gate.set()
        assert late.result().status_code == 504
    assert tokenised == []
    assert running.score().status_code == 200
    assert len(tokenised) == 1


def test_a_request_that_is_being_tokenised_counts_as_backlog(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve(load=loading(SumScorer(), run_s=0.5))
    parts = running.app.parts
    prepare, began, gate = parts.encoding.texts.pairs, threading.Event(), threading.Event()

    def wait(*args: Any) -> object:
        began.set()
        assert gate.wait(PATIENCE_S)
        return prepare(*args)

    monkeypatch.setattr(parts.encoding.texts, "pairs", wait)
    assert parts.engine.backlog_seconds() == 0
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.score)
        assert began.wait(PATIENCE_S)
        assert parts.engine.backlog_seconds() > 0
        gate.set()
        assert asked.result().status_code == 200
    assert parts.engine.backlog_seconds() == 0


def test_candidates_without_time_are_not_scored_and_the_others_are(serve: Serve) -> None:
    gate = threading.Event()
    runs: Iterator[int] = count()

    def wait_from_the_second_run(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        assert next(runs) == 0 or gate.wait(PATIENCE_S)
        return rows

    running = serve(load=loading(SumScorer(wait_from_the_second_run), max_batch_tokens=1))
    body = running.score(deadline_ms=1000).json()
    gate.set()
    assert sorted(each["status"] for each in body["scores"]) == ["not_scored", "scored"]
    assert [each["id"] for each in body["scores"]] == ["j1", "j2"]
    assert body["degraded"] is True


def test_a_running_request_keeps_the_model_that_it_began_with(serve: Serve, bundle: Path) -> None:
    old, new = GatedScorer(), SumScorer()
    running = serve(load=loading(old))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.score)
        assert old.began.wait(PATIENCE_S)
        running.app.parts.current.live = replace(loading(new)(bundle), version="2")
        later = pool.submit(running.score)
        old.gate.set()
        assert asked.result().json()["model"]["version"] == "1"
        assert later.result().json()["model"]["version"] == "2"
    assert (old.num_pairs, new.num_pairs) == (2, 2)


def test_a_request_that_does_not_keep_its_model_is_noticed(
    serve: Serve, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the test above, and of the swaps of `make fire`."""
    monkeypatch.setattr(ScoringPipeline, "score", ScoringPipeline.score)  # put back afterwards
    mix_versions()
    old = GatedScorer()
    running = serve(load=loading(old))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.score)
        assert old.began.wait(PATIENCE_S)
        running.app.parts.current.live = replace(loading(SumScorer())(bundle), version="2")
        old.gate.set()
        assert asked.result().json()["model"]["version"] == "2"


def test_stages_add_up_to_the_total_after_time_moves_between_them() -> None:
    ticks = iter([0.0, 1.0, 3.0, 10.0, 10.5])
    timings = Timings(lambda: next(ticks), next(ticks))
    timings.lap("parse")
    timings.lap("admit")
    timings.lap("queue")
    timings.split("queue", "model", 4.0)
    timings.lap("answer")
    assert timings.stages == {"parse": 1.0, "admit": 2.0, "queue": 3.0, "model": 4.0, "answer": 0.5}
    assert timings.total == 10.5
    stages = dict(re.findall(r"(\w+);dur=([\d.]+)", timings.header()))
    assert float(stages.pop("total")) == pytest.approx(sum(map(float, stages.values())), rel=0.01)


def test_model_time_beyond_the_stage_cannot_make_it_negative() -> None:
    ticks = iter([0.0, 1.0])
    timings = Timings(lambda: next(ticks), next(ticks))
    timings.lap("queue")
    timings.split("queue", "model", 1.5)
    assert timings.stages == {"queue": 0.0, "model": 1.0}
