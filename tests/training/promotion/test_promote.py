"""`promote` against a running service: what becomes live, what stays, and what is left where it ends early."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.bundle.files import save_bundle
from models.bundle.manifest import TextSpec
from models.loading import open_encoder, open_scorer
from models.template import FieldFormat, Template
from models.text import Pair
from tests.support.bundles import flip_a_bit, manifest, tokenizer_json, write_tiny_bundle
from tests.support.poison_bundles import WORD, poison_graph
from tests.support.product_files import COLOURS, THINGS, make_shop, shop
from tests.support.service_process import ROOT, process
from tests.support.waiting import PATIENCE_S, eventually
from training.__main__ import main
from training.promotion.record import read_record

GOOD, BAD = 1, 0
"""Seeds of tiny graphs: grades follow the scores of the first."""
TEMPLATE = Template(
    member=(FieldFormat(name="query"),), candidate=(FieldFormat(name="title"), FieldFormat(name="brand", label="brand"))
)
TEXT = TextSpec(tokenizer="tokenizer.json", member_tokens=48, candidate_tokens=48, layout="texts", template=TEMPLATE)
QUICK = ("--share", "0.5", "--least-requests", "10", "--after", "0.2", "--every", "0.05")
LOOSE = {"ROLLOUT_DRIFT": "100", "ROLLOUT_SLOWNESS": "100"}

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
Run = Callable[..., int]


def write_bundle(path: Path, seed: int, version: str) -> None:
    write_tiny_bundle(path, seed=seed, name="shop", version=version, text=TEXT)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product whose grades follow the order of the good bundle; its own bundle is still to come."""
    folder = tmp_path_factory.mktemp("product")
    bundle = write_tiny_bundle(folder / "good", seed=GOOD, text=TEXT)
    encoder, scorer = open_encoder(bundle), open_scorer(bundle, "cpu", 1)
    pairs, _, _ = shop(members=150)
    by_member: dict[str, list[list[str]]] = {}
    for row in pairs:
        by_member.setdefault(row[0], []).append(row)
    for rows in by_member.values():
        texts = [TEMPLATE.render_candidate({"title": row[3], "brand": row[4]}) for row in rows]
        member = encoder.member(rows[0][1])
        found = scorer.score([Pair(member, ids) for ids in encoder.candidates(texts)])[:, 0]
        for grade, row in enumerate(np.argsort(found)):
            rows[row][5] = str(max(0, grade - 1))
    return make_shop(folder, pairs)


@pytest.fixture
def folder(product: Path, tmp_path: Path) -> Path:
    shutil.copytree(product.parent, tmp_path / "files")
    (tmp_path / "models").mkdir()
    return tmp_path / "files" / "shop"


def own_bundle(folder: Path, seed: int, version: str) -> None:
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    write_bundle(folder / "bundle", seed, version)


@contextmanager
def traffic(client: httpx.Client, word: str = "please") -> Iterator[None]:
    """Requests of many members until the end of the block; each query has the word."""
    ended = threading.Event()

    def ask() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            member = {"id": f"m{number}", "fields": {"query": f"{COLOURS[number % 6]} {THINGS[number % 10]} {word}"}}
            candidates = [{"id": each, "fields": {"title": f"{each} {COLOURS[number % 5]}"}} for each in THINGS]
            body = {"member": member, "candidates": candidates}
            httpx.post(f"{client.base_url}/score", json=body, timeout=PATIENCE_S)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(PATIENCE_S)


def words(folder: Path, client: httpx.Client, *further: str) -> list[str]:
    models = () if "--live" in further else ("--models", str(folder.parents[1] / "models"))
    return ["promote", str(folder), "--to", str(client.base_url), *models, *QUICK, *further]


def entries(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {each["version"]: each for each in client.get("/v1/models").json()["models"]}


def live(client: httpx.Client) -> str:
    return next(version for version, each in entries(client).items() if each["live"])


def events(folder: Path) -> list[str]:
    return [each["event"] for each in read_record(folder / "promotions.jsonl")]


def test_a_worse_bundle_stays_out_and_a_better_and_an_equal_one_become_live(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = folder.parents[1] / "models" / "first"
    write_bundle(first, BAD, "1")
    with process(BUNDLE=str(first), **LOOSE) as (_, client), traffic(client):
        shutil.copytree(first, first.with_name("shop-v1"))
        own_bundle(folder, GOOD, "2")
        assert main(words(folder, client, "--who", "mira", "--why", "new grades")) == 0
        assert live(client) == "2"
        own_bundle(folder, BAD, "3")
        assert main(words(folder, client)) == 1
        assert "not promoted: NDCG@10 of the new student minus shop-v2: -0." in capsys.readouterr().err
        assert live(client) == "2"
        own_bundle(folder, GOOD, "4")
        assert main(words(folder, client)) == 0
        assert live(client) == "4"
        assert main(words(folder, client)) == 0
    assert events(folder) == [
        *("began", "canary", "watched", "activated", "live"),
        "held back",
        *("began", "canary", "watched", "activated", "live"),
        "found live",
    ]
    record = read_record(folder / "promotions.jsonl")[0]
    assert (record["who"], record["why"], record["version"]) == ("mira", "new grades", "2")
    assert record["passed"]
    assert (folder / "live" / "newest").read_text() == "shop-v4\n"


def test_a_reason_promotes_what_the_gate_holds_back(folder: Path) -> None:
    models = folder.parents[1] / "models"
    write_bundle(models / "shop-v1", GOOD, "1")
    own_bundle(folder, BAD, "2")
    with process(BUNDLE=str(models / "shop-v1")) as (_, client):
        assert main(words(folder, client, "--share", "0", "--accept", "a new policy")) == 0
        assert live(client) == "2"
    assert read_record(folder / "promotions.jsonl")[0]["accepted"] == "a new policy"


def test_the_guardrails_of_the_service_end_a_promotion(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = folder.parents[1] / "models"
    write_bundle(models / "shop-v1", BAD, "1")
    own_bundle(folder, GOOD, "2")
    limits = {"ROLLOUT_MIN_SCORES": "200", "ROLLOUT_DRIFT": "0.01", "ROLLOUT_SLOWNESS": "100"}
    with process(BUNDLE=str(models / "shop-v1"), **limits) as (_, client), traffic(client):
        write_bundle(models / "shop-v2", BAD, "2")
        with (folder / "promotions.jsonl").open("w") as file:  # an earlier one, which never was live
            about = {"service": str(client.base_url).rstrip("/"), "version": "2", "event": "ended"}
            file.write(json.dumps(about) + "\n")
        assert main(words(folder, client, "--least-requests", "100000", "--minutes", "1")) == 1
        assert "the service ended it: canary of version 2 ended: it has other scores" in capsys.readouterr().err
        assert live(client) == "1"
    assert events(folder) == ["ended", "began", "canary", "ended"]


def test_a_version_that_fails_once_live_is_rolled_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = folder.parents[1] / "models"
    write_bundle(models / "shop-v1", BAD, "1")
    contents = {"tiny.onnx": poison_graph("nan"), "tokenizer.json": tokenizer_json().encode()}
    save_bundle(folder / "bundle", manifest(name="shop", version="2", text=TEXT), contents)
    with process(BUNDLE=str(models / "shop-v1"), **LOOSE) as (_, client), traffic(client, WORD):
        assert main(words(folder, client, "--share", "0", "--after", "60")) == 1
        assert "the version before it is live again" in capsys.readouterr().err
        assert live(client) == "1"
    assert events(folder) == ["began", "activated", "ended"]


def test_what_the_service_refuses_is_said_and_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = folder.parents[1] / "models"
    write_bundle(models / "shop-v1", GOOD, "1")
    own_bundle(folder, GOOD, "2")
    alone = folder.parents[1] / "alone" / "shop-v1"
    shutil.copytree(models / "shop-v1", alone)

    def said(*further: str) -> str:
        assert main(words(folder, client, *further)) == 1
        return capsys.readouterr().err

    keys = {"API_KEYS": "ops:secret:admin,shop:other:score"}
    with process(BUNDLE=str(models / "shop-v1"), **keys) as (started, client):
        assert "the key is not one of the service's" in said("--key", "wrong")
        assert "the key is not one of the service's" in said()
        assert "the key has no scope admin" in said("--key", "other")
        client.headers["Authorization"] = "Bearer secret"
        own = ("--key", "secret", "--live", str(alone))
        other = ("--key", "secret", "--live", str(folder / "bundle"))
        assert "is not the bundle that is live" in said(*other)
        assert "name that folder, as this machine sees it, with --models" in said(*own)
        shutil.copytree(folder / "bundle", models / "shop-v2")
        flip_a_bit(models / "shop-v2" / "tiny.onnx")
        assert "the live model stays: shop-v2/tiny.onnx was changed" in said(*own)
        shutil.rmtree(models / "shop-v2")
        shutil.copytree(folder / "bundle", models / "shop-v2")
        pages = int(Path(f"/proc/{started.pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + (32 << 20)
        resource.prlimit(started.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        assert "too little memory" in said(*own)
        assert (live(client), entries(client)["2"]["rollout"]) == ("1", None)
    assert "cannot be reached" in said(*own)
    assert events(folder) == ["began", "ended"] * 3


@contextmanager
def started_promotion(folder: Path, client: httpx.Client) -> Iterator[subprocess.Popen[bytes]]:
    """A promotion whose canary gets no request; the canary runs, and the record says so."""
    command = [sys.executable, "-m", "training", *words(folder, client)]
    running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    try:
        # It imports torch first, which takes a while on a machine under load.
        record = folder / "promotions.jsonl"
        eventually(lambda: record.exists() and "canary" in events(folder), within=4 * PATIENCE_S)
        assert entries(client)["2"]["rollout"]
        yield running
    finally:
        running.kill()
        running.wait(4 * PATIENCE_S)


def test_a_promotion_that_is_killed_leaves_a_state_from_which_the_next_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = folder.parents[1] / "models"
    write_bundle(models / "shop-v1", GOOD, "1")
    own_bundle(folder, GOOD, "2")
    with process(BUNDLE=str(models / "shop-v1"), **LOOSE) as (_, client):
        with started_promotion(folder, client) as running:
            assert main(words(folder, client)) == 1
            assert "another promotion of this product runs" in capsys.readouterr().err
            running.send_signal(signal.SIGTERM)
            assert running.wait(4 * PATIENCE_S) == 130
        assert entries(client)["2"]["rollout"] is None
        assert events(folder) == ["began", "canary", "stopped"]
        # What kill -9 leaves behind: a canary, half a copy, and half a line.
        assert client.post("/v1/models/shop/2:canary", json={"share": 0.5}).status_code == 200
        (models / ".shop-v2.partial").mkdir()
        with (folder / "promotions.jsonl").open("a") as file:
            file.write('{"time": "half a li')
        with traffic(client):
            assert main(words(folder, client)) == 0
        assert live(client) == "2"
    assert events(folder)[3:] == ["began", "canary", "watched", "activated", "live"]
    assert sorted(path.name for path in models.iterdir()) == ["shop-v1", "shop-v2"]


def test_another_bundle_of_the_live_version_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = folder.parents[1] / "models"
    write_bundle(models / "shop-v1", BAD, "1")
    own_bundle(folder, GOOD, "1")
    with process(BUNDLE=str(models / "shop-v1")) as (_, client):
        assert main(words(folder, client)) == 1
    assert "another bundle of version 1 live: set another `version`" in capsys.readouterr().err
