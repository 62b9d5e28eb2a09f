"""A split model in a running service: computed once, shared between requests, and failing alone."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.bundle.files import Bundle
from models.loading import open_encoder, open_scorer
from models.scorers.split import Block
from models.slots.codec import Slots
from models.text import Pair, TokenIds
from tests.support.fakes import WatchedModel
from tests.support.metrics import read
from tests.support.raw_http import connect, send
from tests.support.service import Running, Serve, ServeOnPort
from tests.support.split_bundles import write_split_bundle
from tests.support.waiting import PATIENCE_S, eventually

MEMBER = "data engineer python"
FAR_MS, NEAR_MS = 600_000, 10_000
LONG_S = 20.0
"""The predicted time of a candidate, so that there is no time for it; in fact each is encoded at once."""
TEXTS = ["senior data engineer", "pastry chef", "nurse ward", "junior platform engineer spark", "hotel"]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of the tiny split model, whose slots and scores differ."""
    shelf = tmp_path_factory.mktemp("bundles")
    write_split_bundle(shelf / "tiny-v1")
    write_split_bundle(shelf / "tiny-v2", seed=5, version="2")
    return shelf


@pytest.fixture
def model() -> WatchedModel:
    return WatchedModel()


@pytest.fixture
def running(serve: Serve, shelf: Path, model: WatchedModel) -> Running:
    return serve(bundle=shelf / "tiny-v1", load=model)


def ask(running: Running, texts: Sequence[str] = TEXTS, member: str = MEMBER, **changes: object) -> httpx.Response:
    candidates = [{"id": f"j{place}", "text": text} for place, text in enumerate(texts)]
    return running.score(**{"member": {"text": member}, "candidates": candidates, "deadline_ms": FAR_MS, **changes})


def scores(answer: httpx.Response) -> list[float]:
    return [each["score"] for each in answer.json()["scores"]]


def statuses(answer: httpx.Response) -> list[str]:
    return [each["status"] for each in answer.json()["scores"]]


def expected(bundle: Path, texts: Sequence[str] = TEXTS, member: str = MEMBER) -> list[float]:
    """Scores of the bundle for one pair at a time, without a service."""
    loaded = Bundle.load(bundle)
    scorer, encoder = open_scorer(loaded, "cpu"), open_encoder(loaded)
    ids = encoder.member(member)
    rows = [scorer.score([Pair(ids, candidate)])[0] for candidate in encoder.candidates(texts)]
    return [0.7 * float(row[0]) + 0.3 * float(row[1]) for row in rows]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


class Gate:
    """A hook that signals that a graph is about to run, and holds it until the gate opens."""

    def __init__(self) -> None:
        self.began, self.opened = threading.Event(), threading.Event()

    def __call__(self, _: object) -> None:
        self.began.set()
        assert self.opened.wait(PATIENCE_S)


def test_the_service_gives_the_bundles_scores(running: Running, shelf: Path) -> None:
    answer = ask(running)
    assert statuses(answer) == ["scored"] * 5
    assert scores(answer) == pytest.approx(expected(shelf / "tiny-v1"), abs=1e-6)


def test_a_score_depends_neither_on_its_place_nor_on_the_other_candidates(running: Running) -> None:
    forwards, backwards = scores(ask(running)), scores(ask(running, TEXTS[::-1]))
    alone = [scores(ask(running, [text]))[0] for text in TEXTS]
    assert forwards == pytest.approx(backwards[::-1], abs=1e-6)
    assert forwards == pytest.approx(alone, abs=1e-6)


def test_states_and_slots_are_computed_once(running: Running, model: WatchedModel) -> None:
    first, again = ask(running), ask(running)
    assert scores(first) == scores(again)
    ask(running, member="nurse")
    assert (model.scorer.num_members, model.scorer.num_candidates) == (2, len(TEXTS))
    found = read(running)
    assert found['fitscore_slot_lookups_total{result="miss"}'] == len(TEXTS)
    assert found['fitscore_slot_lookups_total{result="hit"}'] == 2 * len(TEXTS)
    assert found['fitscore_member_lookups_total{result="hit"}'] == 1


def test_the_same_text_twice_in_one_request_is_encoded_once(running: Running, model: WatchedModel) -> None:
    assert len(set(scores(ask(running, ["pastry chef", "pastry chef"])))) == 1
    assert model.scorer.num_candidates == 1


def test_the_stages_of_a_split_request_add_up(running: Running) -> None:
    stages = {
        name: float(spent)
        for name, spent in (stage.split(";dur=") for stage in ask(running).headers["server-timing"].split(", "))
    }
    assert set(stages) == {"read", "parse", "admit", "lookup", "encode", "queue", "model", "answer", "total"}
    assert stages.pop("total") == pytest.approx(sum(stages.values()), abs=0.02)


def test_two_requests_that_miss_the_same_candidate_encode_it_once(
    running: Running, model: WatchedModel, pool: ThreadPoolExecutor
) -> None:
    gate = model.scorer.before_candidates = Gate()
    first = pool.submit(ask, running, ["pastry chef"])
    assert gate.began.wait(PATIENCE_S)
    second = pool.submit(ask, running, ["pastry chef", "hotel"], "nurse")
    eventually(lambda: read(running)["fitscore_queue_items"] >= 2)  # the other member, and the hotel
    gate.opened.set()
    assert statuses(first.result()) + statuses(second.result()) == ["scored"] * 3
    assert model.scorer.num_candidates == 2


def test_a_client_that_disconnects_does_not_affect_one_that_waits_for_the_same_candidate(
    serve_on_port: ServeOnPort, shelf: Path, model: WatchedModel, pool: ThreadPoolExecutor
) -> None:
    running = serve_on_port(bundle=shelf / "tiny-v1", load=model)
    gate = model.scorer.before_candidates = Gate()
    body = json.dumps({"member": {"text": MEMBER}, "candidates": [{"id": "a", "text": "pastry chef"}]}).encode()
    with connect(running) as leaving:
        send(leaving, f"Content-Length: {len(body)}", body=body)
        assert gate.began.wait(PATIENCE_S)
        staying = pool.submit(ask, running, ["pastry chef"])
        eventually(lambda: read(running)['fitscore_slot_lookups_total{result="miss"}'] >= 2)
    eventually(lambda: read(running)['fitscore_requests_total{outcome="cancelled",route="/score"}'] >= 1)
    gate.opened.set()
    assert statuses(staying.result()) == ["scored"]
    assert model.scorer.num_candidates == 1


def test_a_candidate_that_cannot_be_encoded_fails_alone(running: Running, model: WatchedModel, shelf: Path) -> None:
    chef = open_encoder(Bundle.load(shelf / "tiny-v1")).candidates(["pastry chef"])[0]

    def refuse(candidates: Sequence[TokenIds]) -> None:
        if any(np.array_equal(ids, chef) for ids in candidates):
            raise RuntimeError

    model.scorer.before_candidates = refuse
    answer = ask(running)
    assert statuses(answer) == ["scored", "failed", "scored", "scored", "scored"]
    assert answer.json()["degraded"] is True
    model.scorer.before_candidates = len
    assert statuses(ask(running)) == ["scored"] * 5


def test_a_block_that_fails_is_bisected_down_to_the_candidate(
    running: Running, model: WatchedModel, shelf: Path
) -> None:
    loaded = Bundle.load(shelf / "tiny-v1")
    chef = model.scorer.encode_candidates(open_encoder(loaded).candidates(["pastry chef"]))[0]

    def refuse(blocks: Sequence[Block]) -> None:
        if any(np.array_equal(slots, chef) for block in blocks for slots in block.slots):
            raise RuntimeError

    model.scorer.before_blocks = refuse
    answer = ask(running)
    assert statuses(answer) == ["scored", "failed", "scored", "scored", "scored"]
    wanted = expected(shelf / "tiny-v1")
    assert [each for each in scores(answer) if each] == pytest.approx([wanted[0], *wanted[2:]], abs=1e-6)


def test_a_member_that_cannot_be_encoded_fails_its_own_request_only(running: Running, model: WatchedModel) -> None:
    model.scorer.before_members = lambda _: 1 / 0
    assert statuses(ask(running)) == ["failed"] * 5
    model.scorer.before_members = len
    assert statuses(ask(running)) == ["scored"] * 5


def test_an_engine_that_dies_during_both_encodings_makes_the_service_not_ready(
    running: Running, model: WatchedModel, pool: ThreadPoolExecutor
) -> None:
    gate = model.scorer.before_members = model.scorer.before_candidates = Gate()
    asked = pool.submit(ask, running)
    assert gate.began.wait(PATIENCE_S)
    engine = running.app.parts.engine
    engine._loop.call_soon_threadsafe(engine.fail_all, "a test ends it")
    answer = asked.result()
    gate.opened.set()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fitscore:not-ready")


def test_a_failing_slot_store_costs_time_and_never_a_response(
    running: Running, model: WatchedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError

    slots = running.app.parts.store.slots
    monkeypatch.setattr(slots, "get_many", fail, raising=True)
    monkeypatch.setattr(slots, "put_many", fail, raising=True)
    assert [statuses(ask(running)) for _ in range(2)] == [["scored"] * 5] * 2
    assert model.scorer.num_candidates == 2 * len(TEXTS)
    found = read(running)
    assert found['fitscore_slot_store_errors_total{call="get"}'] == 2
    assert found['fitscore_slot_store_errors_total{call="put"}'] >= 1


def test_after_a_swap_no_model_reads_the_slots_of_another(
    running: Running, model: WatchedModel, shelf: Path, pool: ThreadPoolExecutor
) -> None:
    ask(running, ["hotel"])
    gate = model.scorer.before_candidates = Gate()
    under_way = pool.submit(ask, running)
    assert gate.began.wait(PATIENCE_S)
    assert running.client.post("/v1/models/2:activate").status_code == 200
    later = pool.submit(ask, running)
    gate.opened.set()
    for asked, version in ((under_way, "1"), (later, "2")):
        answer = asked.result()
        assert answer.json()["model"]["version"] == version
        assert scores(answer) == pytest.approx(expected(shelf / f"tiny-v{version}"), abs=1e-6)


def test_candidates_without_time_to_encode_are_cold_and_the_others_are_scored(serve: Serve, shelf: Path) -> None:
    running = serve(bundle=shelf / "tiny-v1", load=WatchedModel(encode_s=LONG_S))
    assert statuses(ask(running, ["pastry chef"])) == ["scored"]
    answer = ask(running, ["hotel", "pastry chef"], deadline_ms=NEAR_MS)
    assert statuses(answer) == ["cold", "scored"]
    assert (answer.status_code, answer.json()["degraded"]) == (200, True)
    assert answer.json()["scores"][0]["heads"] is None
    assert read(running)['fitscore_pairs_total{status="cold"}'] == 1


def test_unknown_and_empty_candidates_have_a_status_of_their_own(running: Running) -> None:
    answer = running.score(
        member={"text": MEMBER},
        candidates=[{"id": "nobody"}, {"id": "chef", "text": "pastry chef"}, {"id": "empty", "text": " "}],
    )
    assert statuses(answer) == ["unknown_candidate", "scored", "invalid"]
    assert answer.json()["degraded"] is False


def encoded_ahead(running: Running) -> float:
    return read(running)['fitscore_batch_items_sum{lane="ahead"}']


def put(running: Running, texts: Sequence[str] = TEXTS) -> httpx.Response:
    candidates = [{"id": text, "text": text} for text in texts]
    return running.client.put("/candidates", json={"candidates": candidates})


def test_cold_candidates_are_encoded_after_the_response_and_cached_for_the_next_request(
    serve: Serve, shelf: Path
) -> None:
    running = serve(bundle=shelf / "tiny-v1", load=WatchedModel(encode_s=LONG_S))
    assert ask(running, deadline_ms=NEAR_MS).status_code == 504
    eventually(lambda: encoded_ahead(running) >= 5)
    assert statuses(ask(running, deadline_ms=NEAR_MS)) == ["scored"] * 5


def test_stored_candidates_are_encoded_before_a_request(running: Running, model: WatchedModel) -> None:
    assert put(running).status_code == 200
    eventually(lambda: encoded_ahead(running) >= len(TEXTS))
    answer = running.score(member={"text": MEMBER}, candidates=[{"id": text} for text in TEXTS])
    assert statuses(answer) == ["scored"] * 5
    assert model.scorer.num_candidates == len(TEXTS)
    assert put(running).status_code == 200
    assert read(running)["fitscore_ahead_waiting"] == 0


def progress(running: Running) -> dict[str, int]:
    found: dict[str, int] = running.client.get("/candidates:progress").json()
    return found


def test_the_progress_of_encoding_stored_candidates_is_visible(running: Running, model: WatchedModel) -> None:
    gate = model.scorer.before_candidates = Gate()
    told = put(running).json()
    assert (told["upserted"], told["waiting"]) == (len(TEXTS), len(TEXTS))
    assert gate.began.wait(PATIENCE_S)
    assert progress(running)["waiting"] == len(TEXTS)  # those that are just being encoded too
    gate.opened.set()
    eventually(lambda: not progress(running)["waiting"])
    assert statuses(ask(running)) == ["scored"] * len(TEXTS)
    assert model.scorer.num_candidates == len(TEXTS)


def test_a_client_that_sends_no_more_than_the_room_is_never_rejected(
    serve: Serve, shelf: Path, model: WatchedModel
) -> None:
    running = serve(bundle=shelf / "tiny-v1", load=model, max_ahead=4)
    gate = model.scorer.before_candidates = Gate()
    assert put(running, TEXTS[:1]).status_code == 200
    assert gate.began.wait(PATIENCE_S)
    assert progress(running) == {"waiting": 1, "room": 4}
    assert put(running, TEXTS[1:]).json() == {"upserted": 4, "waiting": 5, "room": 0}
    assert put(running, ["cook"]).status_code == 503
    gate.opened.set()
    eventually(lambda: progress(running)["room"])
    assert put(running, ["cook"]).status_code == 200


def test_a_replaced_stored_candidate_is_scored_by_its_new_content(running: Running, shelf: Path) -> None:
    def ask_for_a() -> float:
        return scores(running.score(member={"text": MEMBER}, candidates=[{"id": "a"}]))[0]

    for text in ("pastry chef", "nurse ward", "pastry chef"):
        running.client.put("/candidates", json={"candidates": [{"id": "a", "text": text}]})
        wanted = pytest.approx(expected(shelf / "tiny-v1", [text])[0], abs=1e-6)
        assert [ask_for_a(), ask_for_a()] == [wanted, wanted]


def test_a_store_request_beyond_the_room_gets_a_retry_delay(serve: Serve, shelf: Path, model: WatchedModel) -> None:
    running = serve(bundle=shelf / "tiny-v1", load=model, max_ahead=4)
    answer = put(running)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fitscore:overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    assert statuses(running.score(candidates=[{"id": TEXTS[0]}])) == ["unknown_candidate"]
    assert put(running, TEXTS[:4]).status_code == 200


def test_requests_go_before_background_encoding(serve: Serve, shelf: Path, pool: ThreadPoolExecutor) -> None:
    model = WatchedModel(encode_s=0.02)  # two to a batch
    running = serve(bundle=shelf / "tiny-v1", load=model)
    gate = model.scorer.before_candidates = Gate()
    put(running)
    assert gate.began.wait(PATIENCE_S)
    asked = pool.submit(ask, running, ["cook"])
    eventually(lambda: read(running)["fitscore_queue_items"] >= 2)  # its member and its candidate
    order: list[str] = []
    model.scorer.before_blocks = lambda _: order.append("scored")
    model.scorer.before_candidates = lambda candidates: order.append(f"encoded {len(candidates)}")
    gate.opened.set()
    assert statuses(asked.result()) == ["scored"]
    eventually(lambda: encoded_ahead(running) >= len(TEXTS))
    assert order.index("scored") <= 2


def test_stop_waits_for_writes_to_the_store(
    serve: Serve, shelf: Path, model: WatchedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is closed during a write may crash the process."""
    began, gate = threading.Event(), threading.Event()
    order: list[str] = []
    running = serve(bundle=shelf / "tiny-v1", load=model)
    store = running.app.parts.store
    put, close = store.slots.put_many, store.close

    def slow(slots: Mapping[bytes, Slots]) -> None:
        began.set()
        assert gate.wait(PATIENCE_S)
        put(slots)
        order.append("written")

    monkeypatch.setattr(store.slots, "put_many", slow)

    def closed() -> None:
        order.append("closed")
        close()

    monkeypatch.setattr(store, "close", closed)
    assert ask(running).status_code == 200
    assert began.wait(PATIENCE_S)
    stopping = asyncio.run_coroutine_threadsafe(running.app.context.lifecycle.stop(), running.app.parts.engine._loop)
    assert order == []
    gate.set()
    stopping.result(PATIENCE_S)
    assert order == ["written", "closed"]
