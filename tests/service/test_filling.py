"""A new version is filled before it goes live, so that its first requests find no candidate cold."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from service.registry.loading import LiveModel
from tests.support.bundles import write_tiny_bundle
from tests.support.fakes import WatchedModel
from tests.support.metrics import read
from tests.support.service import Running, Serve
from tests.support.split_bundles import write_split_bundle
from tests.support.waiting import PATIENCE_S, eventually

WORDS = "data engineer python spark chef pastry bake nurse ward senior junior platform hotel skills".split()
NUM = 60


def text_of(number: int) -> str:
    return f"{WORDS[number % 14]} {WORDS[number // 14]} {number}"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Three versions of a split model: different graphs, so that none reads the slots of another."""
    for seed in range(3):
        write_split_bundle(tmp_path / f"v{seed + 1}", seed=seed, version=str(seed + 1))
    return tmp_path


def start(serve: Serve, shelf: Path, *, load: WatchedModel | None = None, **changes: object) -> Running:
    return serve(bundle=shelf / "v1", load=load, **{"store": f"lmdb:{shelf}/store", **changes})


def put(running: Running, numbers: range = range(NUM)) -> None:
    stored = [{"id": f"j{number}", "text": text_of(number)} for number in numbers]
    assert running.client.put("/candidates", json={"candidates": stored}).status_code == 200
    eventually(lambda: running.client.get("/candidates:progress").json()["waiting"] == 0)


def statuses(running: Running, numbers: range = range(NUM)) -> Counter[str]:
    """Of the stored candidates."""
    by_id = [{"id": f"j{number}"} for number in numbers]
    return Counter(each["status"] for each in running.score(candidates=by_id).json()["scores"])


def activate(running: Running, version: str, fill: str | None) -> dict[str, Any]:
    body = None if fill is None else {"fill": fill}
    answer = running.client.post(f"/v1/models/{version}:activate", json=body)
    assert answer.status_code == (202 if fill else 200), answer.text
    found: dict[str, Any] = answer.json()
    return found


def entry(running: Running, version: str) -> dict[str, Any]:
    listed = running.client.get("/v1/models").json()["models"]
    return next(dict(each) for each in listed if each["version"] == version)


def filled(running: Running, version: str) -> dict[str, Any]:
    """The fill of a version once it is over."""
    eventually(lambda: (entry(running, version)["fill"] or {}).get("state") not in (None, "running"))
    found: dict[str, Any] = entry(running, version)["fill"]
    return found


def test_after_a_fill_no_candidate_is_encoded_again(serve: Serve, shelf: Path) -> None:
    model = WatchedModel()
    running = start(serve, shelf, load=model)
    put(running)
    begun = activate(running, "2", "stored")
    assert begun["live"] is False or begun["fill"]["state"] == "done"
    fill = filled(running, "2")
    assert fill == {
        "source": "stored", "state": "done", "reason": None, "seen": NUM, "present": 0, "filled": NUM, "unfilled": 0,
        "unfilled_ids": [],
    }  # fmt: skip
    assert entry(running, "2")["live"] is True
    encoded = model.scorer.num_candidates
    assert statuses(running) == {"scored": NUM}
    assert model.scorer.num_candidates == encoded
    found = read(running)
    assert found['fitscore_fill_candidates{model="tiny",result="filled"}'] == NUM
    assert found['fitscore_fill_running{model="tiny"}'] == 0


def test_without_a_fill_every_candidate_is_cold(serve: Serve, shelf: Path) -> None:
    """The negative control of the test above."""
    model = WatchedModel()
    running = start(serve, shelf, load=model)
    put(running)
    activate(running, "2", None)
    assert model.scorer.num_candidates == 0
    statuses(running)
    assert model.scorer.num_candidates >= NUM


class HeldModel(WatchedModel):
    """Version 2 encodes no candidate before the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.began = threading.Event(), threading.Event()

    def __call__(self, path: Path) -> LiveModel:
        model = super().__call__(path)
        if model.version == "2":
            self.scorer.before_candidates = self._hold
        return model

    def _hold(self, _: object) -> None:
        self.began.set()
        assert self.gate.wait(PATIENCE_S)


def test_a_version_is_not_live_before_its_fill_is_done(serve: Serve, shelf: Path) -> None:
    model = HeldModel()
    running = start(serve, shelf, load=model)
    put(running)
    assert activate(running, "2", "stored")["live"] is False
    assert model.began.wait(PATIENCE_S)
    assert [entry(running, version)["live"] for version in "12"] == [True, False]
    assert read(running)['fitscore_fill_running{model="tiny"}'] == 1
    second = running.client.post("/v1/models/3:activate", json={"fill": "stored"})
    assert (second.status_code, "a fill is running" in second.json()["detail"]) == (409, True)
    model.gate.set()
    assert filled(running, "2")["state"] == "done"
    assert entry(running, "2")["live"] is True


@pytest.mark.parametrize("other", ["3:activate", "1:activate"])
def test_another_activation_ends_a_fill(serve: Serve, shelf: Path, other: str) -> None:
    model = HeldModel()
    running = start(serve, shelf, load=model)
    put(running)
    activate(running, "2", "stored")
    assert model.began.wait(PATIENCE_S)
    assert running.client.post(f"/v1/models/{other}").json()["live"] is True
    assert entry(running, "2")["fill"]["state"] == "stopped"
    model.gate.set()
    assert running.score().status_code == 200
    assert entry(running, "2")["live"] is False


def test_texts_kept_beside_the_slots_fill_what_was_never_stored(serve: Serve, shelf: Path) -> None:
    running = start(serve, shelf, kept_texts_bytes=16 << 20)
    sent = [{"id": f"s{number}", "text": text_of(number)} for number in range(20)]
    assert running.score(candidates=sent).status_code == 200
    eventually(lambda: sum(map(len, kept_pages(running))) == 20)
    activate(running, "2", "stored")
    assert filled(running, "2")["filled"] == 20


def kept_pages(running: Running) -> list[list[Any]]:
    kept = running.app.parts.products.default.filling._filler.shelf.kept
    assert kept is not None
    return list(kept.pages(7))


@pytest.mark.parametrize("store", ["memory", "lmdb"])
def test_kept_texts_are_read_again_by_page(serve: Serve, shelf: Path, store: str) -> None:
    url = "memory" if store == "memory" else f"lmdb:{shelf}/store"
    running = start(serve, shelf, store=url, kept_texts_bytes=16 << 20)
    sent = [{"id": f"s{number}", "fields": {"title": text_of(number)}} for number in range(20)]
    running.score(candidates=[*sent, {"id": "again", "fields": {"title": text_of(0)}}])
    eventually(lambda: sum(map(len, kept_pages(running))) >= 20)
    assert {f"s{number}" for number in range(1, 20)} <= {name for page in kept_pages(running) for name, _ in page}
    assert all(len(page) <= 7 for page in kept_pages(running))


def test_without_the_setting_no_text_is_kept(serve: Serve, shelf: Path) -> None:
    running = start(serve, shelf)
    assert running.app.parts.products.default.filling._filler.shelf.kept is None


@pytest.mark.parametrize("name", ["catalogue.jsonl", "catalogue.jsonl.gz"])
def test_a_catalogue_fills_candidates_that_no_request_has_sent(serve: Serve, shelf: Path, name: str) -> None:
    lines: list[dict[str, Any]] = [{"id": f"c{number}", "text": text_of(number)} for number in range(30)]
    lines.append({"id": "fields", "fields": {"title": "nurse", "description": "ward"}})
    lines.append({"id": "empty", "text": " "})
    raw = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (shelf / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    model = WatchedModel()
    running = start(serve, shelf, load=model, catalogue=shelf / name)
    activate(running, "2", "catalogue")
    fill = filled(running, "2")
    assert (fill["filled"], fill["unfilled"], fill["unfilled_ids"]) == (31, 1, ["empty"])
    encoded = model.scorer.num_candidates
    sent = [{"id": "x", "text": text_of(7)}, {"id": "y", "fields": {"title": "nurse", "description": "ward"}}]
    assert running.score(candidates=sent).status_code == 200
    assert model.scorer.num_candidates == encoded


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('{"id": "a", "text": "chef"}\nno JSON\n', "line 2 of the catalogue is not a JSON object"),
        ("\n[1]\n", "line 2 of the catalogue is not a JSON object"),
        ('{"id": "a"}\n', "line 1 of the catalogue needs an id, and a text or fields"),
        ('{"id": 5, "text": "chef"}\n', "line 1 of the catalogue needs an id, and a text or fields"),
        (None, "the catalogue cannot be read: FileNotFoundError"),
    ],
)
def test_a_catalogue_that_cannot_be_read_leaves_the_live_version(
    serve: Serve, shelf: Path, lines: str | None, reason: str
) -> None:
    if lines is not None:
        (shelf / "catalogue.jsonl").write_text(lines)
    running = start(serve, shelf, catalogue=shelf / "catalogue.jsonl")
    activate(running, "2", "catalogue")
    fill = filled(running, "2")
    assert (fill["state"], fill["reason"]) == ("failed", reason)
    assert entry(running, "1")["live"] is True


def test_a_fill_without_a_source_or_without_slots_fails_with_a_reason(serve: Serve, shelf: Path) -> None:
    running = start(serve, shelf)
    activate(running, "2", "catalogue")
    assert filled(running, "2")["reason"] == "no catalogue is set: FITSCORE_CATALOGUE names its file"
    assert running.client.post("/v1/models/2:activate", json={"fill": "all"}).status_code == 422
    assert running.client.post("/v1/models/9:activate", json={"fill": "stored"}).status_code == 404
    for version in ("1", "2"):
        write_tiny_bundle(shelf / "flat" / f"v{version}", version=version)
    flat = serve(bundle=shelf / "flat" / "v1")
    activate(flat, "2", "stored")
    assert str(filled(flat, "2")["reason"]).startswith("this version keeps no slots")


def test_candidates_that_cannot_be_read_are_counted_and_listed(serve: Serve, shelf: Path) -> None:
    running = start(serve, shelf)
    put(running, range(5))
    odd = [{"id": f"odd{number}", "text": " "} for number in range(120)]
    running.client.put("/candidates", json={"candidates": odd})
    activate(running, "2", "stored")
    fill = filled(running, "2")
    assert (fill["state"], fill["filled"], fill["unfilled"], len(fill["unfilled_ids"])) == ("done", 5, 120, 100)


def test_a_store_without_room_leaves_candidates_unfilled_and_says_which(serve: Serve, shelf: Path) -> None:
    running = start(serve, shelf, slots_file_bytes=12_000)
    put(running)
    activate(running, "2", "stored")
    fill = filled(running, "2")
    assert fill["unfilled"] > 0
    assert fill["filled"] + fill["unfilled"] == NUM
    assert set(fill["unfilled_ids"]) <= {f"j{number}" for number in range(NUM)}
    assert entry(running, "2")["live"] is True


def test_a_fill_goes_on_where_it_ended(serve: Serve, shelf: Path) -> None:
    model = WatchedModel()
    running = start(serve, shelf, load=model)
    put(running, range(20))
    activate(running, "2", "stored")
    assert filled(running, "2")["filled"] == 20
    activate(running, "1", None)
    put(running, range(20, 30))
    activate(running, "2", "stored")
    fill = filled(running, "2")
    assert (fill["present"], fill["filled"]) == (20, 10)


def test_each_product_is_filled_from_its_own_candidates(serve: Serve, shelf: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_split_bundle(tmp_path / "goods" / f"v{version}", seed=5 + int(version), name="goods", version=version)
    running = start(serve, shelf, more_bundles=[tmp_path / "goods" / "v1"])
    put(running, range(12))
    stored = {"candidates": [{"id": "g", "text": "pastry chef"}], "model": "goods"}
    running.client.put("/candidates", json=stored)
    answer = running.client.post("/v1/models/goods/2:activate", json={"fill": "stored"})
    assert answer.status_code == 202

    def goods() -> dict[str, Any]:
        listed = running.client.get("/v1/models").json()["models"]
        return next(dict(each) for each in listed if (each["name"], each["version"]) == ("goods", "2"))

    eventually(lambda: goods()["fill"]["state"] == "done")
    assert (goods()["fill"]["filled"], goods()["live"]) == (1, True)
    assert entry(running, "1")["fill"] is None
