"""A long candidate is scored by the best of its chunks, by both kinds of model, from every store."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle.manifest import TextSpec
from models.slots.codec import chunk_keys, content_key
from models.text import TextEncoder, TokenIds
from service.audit.__main__ import main
from tests.support.bundles import TEMPLATE, WORDS, write_tiny_bundle
from tests.support.fakes import WatchedModel
from tests.support.metrics import read
from tests.support.redis_server import RedisServer
from tests.support.service import Running, Serve, in_process, settings_of
from tests.support.split_bundles import FEATURES, write_split_bundle
from tests.support.waiting import eventually

WINDOW, CHUNKS = 16, 64
WRITE = {"cross": write_tiny_bundle, "split": write_split_bundle}


def filler(num: int, seed: int = 0, words: Sequence[str] = WORDS) -> str:
    """Words without a run that comes again."""
    pick = random.Random(seed)
    return " ".join(pick.choice(words) for _ in range(num))


def spec(chunks: int) -> TextSpec:
    return TextSpec(
        tokenizer="tokenizer.json",
        member_tokens=16,
        candidate_tokens=WINDOW,
        layout="texts",
        template=TEMPLATE,
        chunks=chunks,
    )


@pytest.fixture(params=["cross", "split"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Callable[..., Running]:
    """A service with a bundle of a kind that reads so many chunks."""

    def started(kind: str = "split", chunks: int = CHUNKS, *, discount: float = 0.0, **changes: Any) -> Running:
        path = tmp_path / f"{kind}-{chunks}-{discount}"
        if not path.exists():
            WRITE[kind](path, text=spec(chunks), chunk_discount=discount)
        return serve(bundle=path, **changes)

    return started


def ask(running: Running, *contents: object, expect: int = 200, **changes: object) -> list[dict[str, Any]]:
    candidates = [
        {"id": f"c{n}", "text" if isinstance(each, str) else "fields": each} for n, each in enumerate(contents)
    ]
    answer = running.score(candidates=candidates, **changes)
    assert answer.status_code == expect, answer.text
    return list(answer.json().get("scores", ()))


def test_a_requirement_at_the_500th_word_counts_only_with_chunks(start: Callable[..., Running], kind: str) -> None:
    with_chunks, without = start(kind), start(kind, chunks=1)
    by_fit = sorted(zip((each["heads"]["relevance"] for each in ask(without, *WORDS)), WORDS, strict=True))
    worst, best = [word for _, word in by_fit[:4]], [word for _, word in by_fit[-4:]]
    plain = filler(500, words=worst).split()
    texts = " ".join(plain), " ".join([*plain[:-8], *best, *best[::-1]])
    found = [each["heads"]["relevance"] for each in ask(with_chunks, *texts)]
    assert found[1] > 2 * found[0]
    found = [each["heads"]["relevance"] for each in ask(without, *texts)]
    assert found[0] == found[1]


@pytest.mark.parametrize("joint", [" ", ". ", "\n"])
@pytest.mark.parametrize("num", [3, 30, 300])
def test_the_same_text_twice_has_the_same_score(start: Callable[..., Running], kind: str, num: int, joint: str) -> None:
    text, running = filler(num, seed=num), start(kind, discount=0.3)
    twice, thrice = joint.join([text] * 2), joint.join([text] * 3)
    fields = [{"title": "chef", "description": each} for each in (text, twice, thrice)]
    once, *again = ask(running, text, twice, thrice)
    assert [each["score"] for each in again] == pytest.approx([once["score"]] * 2, abs=1e-6)
    titled, *again = ask(running, *fields)
    if num > 3:  # with a title it is a part that comes again, and no word counts as a run
        assert [each["score"] for each in again] == pytest.approx([titled["score"]] * 2, abs=0.01)


def test_a_short_candidate_is_scored_as_without_chunks(start: Callable[..., Running], kind: str) -> None:
    texts = ["chef", "senior data engineer. bake", filler(WINDOW - 1)]
    wanted = ask(start(kind, chunks=1), *texts)
    # How many texts share a batch decides the last bits of a cross-encoder.
    expected = [pytest.approx(each["heads"], abs=1e-6) for each in wanted]
    assert [each["heads"] for each in ask(start(kind, discount=0.5), *texts)] == expected


def test_a_candidate_has_the_heads_of_its_best_chunk(start: Callable[..., Running], kind: str) -> None:
    """The chunks are scored by themselves, as texts of their own."""
    text, running = filler(100), start(kind)
    encoder = encoder_of(running)
    tokens = {number: token for token, number in encoder._tokenizer.get_vocab().items()}
    read_text = encoder.read_candidates([text])[0]
    parts = [" ".join(tokens[each] for each in ids[1:-1].tolist()) for ids in read_text.chunks]
    whole, *each = ask(running, text, *parts)
    assert len(parts) > 2
    best = max(each, key=lambda part: part["heads"]["relevance"])
    assert list(whole["heads"].values()) == pytest.approx(list(best["heads"].values()), abs=1e-6)
    discounted = ask(start(kind, discount=1.0), text)[0]["heads"]
    odds = best["heads"]["relevance"] / (1 - best["heads"]["relevance"]) / len(parts)
    assert discounted["relevance"] == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert discounted["apply"] == pytest.approx(best["heads"]["apply"], abs=1e-6)


def encoder_of(running: Running) -> TextEncoder:
    live = running.app.parts.current.live
    assert live is not None
    return live.encoder


def test_what_is_cut_lies_beyond_the_chunks(start: Callable[..., Running], kind: str) -> None:
    text = filler(150)
    for running, most in ((start(kind, chunks=2), 2 * WINDOW), (start(kind), 150), (start(kind, chunks=1), WINDOW)):
        for _ in range(2):  # the second time nothing is tokenised
            (found,) = ask(running, text)
            assert found["tokens_read"] + found["tokens_cut"] == 150
            assert most - WINDOW < found["tokens_read"] <= most


def test_a_text_of_which_nothing_can_be_read_is_invalid_beside_long_ones(
    start: Callable[..., Running], kind: str
) -> None:
    running = start(kind)
    for _ in range(2):
        found = ask(running, filler(150), "无 " * 90, {"title": True}, filler(90, seed=1))
        assert [each["status"] for each in found] == ["scored", "invalid", "invalid", "scored"]
        assert ask(running, filler(90, seed=1))[0]["score"] == pytest.approx(found[3]["score"], abs=1e-6)


def test_a_window_of_the_caller_limits_the_chunks(start: Callable[..., Running], kind: str) -> None:
    running, text = start(kind), filler(200)
    words = text.split()

    def top(document: str, **options: object) -> float:
        body = {"query": "data engineer python", "documents": [document], **options}
        score: float = running.client.post("/rerank", json=body).json()["results"][0]["relevance_score"]
        return score

    assert top(text, max_tokens_per_doc=60) == pytest.approx(top(" ".join(words[:60])), abs=1e-6)
    last = top(text, max_tokens_per_doc=60, truncation_direction="left")
    assert last == pytest.approx(top(" ".join(words[-60:])), abs=1e-6)
    assert len({top(text), top(text, max_tokens_per_doc=60), last}) > 1


def test_a_caller_may_want_fewer_chunks(start: Callable[..., Running], kind: str) -> None:
    running, text = start(kind, chunks=4), filler(200)
    body = {"query": "data engineer python", "documents": [text, "chef"]}

    def answer(**options: object) -> dict[str, Any]:
        found: dict[str, Any] = running.client.post("/rerank", json={**body, **options}).json()
        return found

    used = [answer(max_chunks_per_doc=num)["usage"]["total_tokens"] for num in (1, 2, 4, 64)]
    assert used[0] < used[1] < used[2] == used[3] == answer()["usage"]["total_tokens"]
    assert not any("max_chunks_per_doc" in each for each in answer(max_chunks_per_doc=2)["meta"]["warnings"])
    without = start(kind, chunks=1).client.post("/rerank", json={**body, "max_chunks_per_doc": 2}).json()
    assert any("max_chunks_per_doc" in each for each in without["meta"]["warnings"])


def test_each_chunk_is_encoded_once_and_stored(start: Callable[..., Running]) -> None:
    model = WatchedModel()
    running, texts = start(load=model), [filler(150), filler(90, seed=1), "chef"]
    cold = ask(running, *texts)
    num = sum(_chunks(running, text) for text in texts)
    assert model.scorer.num_candidates == num > 10
    eventually(lambda: read(running)["fitscore_slots_entries"] == num)
    sent = [{"id": f"c{place}", "text": text} for place, text in enumerate(texts)]
    assert running.client.put("/candidates", json={"candidates": sent}).status_code == 200
    by_id = running.score(candidates=[{"id": each["id"]} for each in sent]).json()["scores"]
    assert ask(running, *texts) == cold == by_id
    assert model.scorer.num_candidates == num


def _chunks(running: Running, text: str) -> int:
    return encoder_of(running).read_candidates([text])[0].counts.chunks


@pytest.fixture(params=["lmdb", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a store that outlives the process."""
    if request.param == "lmdb":
        yield f"lmdb:{tmp_path}/store"
        return
    if (binary := shutil.which("redis-server")) is None:
        pytest.skip("needs redis-server (Debian's package of that name)")
    server = RedisServer(binary)
    server.start()
    yield server.url
    server.end()


def test_the_chunks_outlive_the_process(tmp_path: Path, store: str) -> None:
    write_split_bundle(tmp_path / "v1", text=spec(CHUNKS))
    settings, text = settings_of(tmp_path / "v1", store=store), filler(300)
    found, encoded = [], []
    for _ in range(2):
        model = WatchedModel()
        with in_process(settings, load=model) as running:
            found.append(ask(running, text))
            keys = keys_of(running, text)
            eventually(partial(stored, running, keys))
            encoded.append(model.scorer.num_candidates)
    assert found[0] == found[1]
    assert encoded == [len(keys), 0]
    assert len(keys) > 6


def stored(running: Running, keys: list[bytes]) -> bool:
    """Whether the store has these slots."""
    durable = running.app.parts.store.durable
    return durable is not None and all(each is not None for each in durable.get_many(keys))


def keys_of(running: Running, text: str) -> list[bytes]:
    """The keys of the slots of a candidate's chunks."""
    live = running.app.parts.current.live
    assert live is not None
    return chunk_keys(content_key(live.keys["candidate"], text), _chunks(running, text))


def test_a_candidate_with_a_chunk_that_cannot_be_encoded_fails_alone(start: Callable[..., Running]) -> None:
    model = WatchedModel()
    running, long = start(load=model), filler(150)
    ids = encoder_of(running).read_candidates([long])[0].further[1]

    def refuse(candidates: Sequence[TokenIds]) -> None:
        if any(np.array_equal(each, ids) for each in candidates):
            raise RuntimeError

    model.scorer.before_candidates = refuse
    assert [each["status"] for each in ask(running, "chef", long, "nurse")] == ["scored", "failed", "scored"]
    model.scorer.before_candidates = len
    assert [each["status"] for each in ask(running, "chef", long, "nurse")] == ["scored"] * 3


def test_a_candidate_is_cold_until_all_its_chunks_are_encoded(start: Callable[..., Running]) -> None:
    model = WatchedModel(encode_s=20.0)  # so that there is no time for it; in fact each is encoded at once
    running, long = start(load=model), filler(150)
    ids = encoder_of(running).read_candidates([long])[0].ids
    running.app.parts.store.slots.put_many({keys_of(running, long)[0]: model.scorer.encode_candidates([ids])[0]})
    assert ask(running, long, deadline_ms=10_000, expect=504) == []
    eventually(lambda: read(running)['fitscore_batch_items_sum{lane="ahead"}'] >= _chunks(running, long) - 1)
    assert ask(running, long, deadline_ms=10_000)[0]["status"] == "scored"
    assert model.scorer.num_candidates == _chunks(running, long)


def test_a_fill_counts_candidates_and_not_their_chunks(tmp_path: Path, serve: Serve) -> None:
    for version in ("1", "2"):
        write_split_bundle(tmp_path / f"v{version}", seed=int(version), version=version, text=spec(CHUNKS))
    running = serve(bundle=tmp_path / "v1", store=f"lmdb:{tmp_path}/store")
    sent = [{"id": f"c{n}", "text": filler(60 * n + 1, seed=n)} for n in range(4)]
    assert running.client.put("/candidates", json={"candidates": sent}).status_code == 200

    def fill() -> dict[str, Any]:
        listed = running.client.get("/v1/models").json()["models"]
        return next(each["fill"] or {} for each in listed if each["version"] == "2")

    assert running.client.post("/v1/models/2:activate", json={"fill": "stored"}).status_code == 202
    eventually(lambda: fill().get("state") == "done")
    assert {name: fill()[name] for name in ("seen", "filled", "unfilled")} == {"seen": 4, "filled": 4, "unfilled": 0}
    by_id = running.score(candidates=[{"id": each["id"]} for each in sent]).json()["scores"]
    assert {each["status"] for each in by_id} == {"scored"}


def test_replay_scores_the_chunks_again(
    start: Callable[..., Running], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 64)
    options = {"audit": tmp_path / "audit", "audit_key_file": tmp_path / "secret", "audit_texts": "sealed"}
    running = start(kind, discount=0.3, **options)
    ask(running, filler(200), "chef", filler(40, seed=1))
    for part in ({"truncation_direction": "left"}, {"max_chunks_per_doc": 2}):
        body = {"query": "chef", "documents": [filler(90), "nurse"], **part}
        assert running.client.post("/rerank", json=body).status_code == 200
    eventually(lambda: read(running)["fitscore_audit_written"] >= 3)
    paths = [str(tmp_path / "audit"), "--key", str(tmp_path / "secret"), "--models", str(tmp_path)]
    assert main(["replay", *paths]) == 0
    assert "7 pairs identical, 0 different" in capsys.readouterr().out


def test_features_and_their_explanation_are_those_of_the_candidate_and_its_best_chunk(
    tmp_path: Path, serve: Serve
) -> None:
    write_split_bundle(tmp_path / "v1", text=spec(CHUNKS), features=FEATURES)
    running, long = serve(bundle=tmp_path / "v1"), filler(100)
    sent = [
        {"id": "chef", "text": "chef", "features": {"price": 100}},
        {"id": "long", "text": long, "features": {"price": 200}},
        {"id": "bare", "text": long},
    ]
    chef, with_price, bare = running.score(candidates=sent, explain=True).json()["scores"]
    for head, value in bare["heads"].items():
        assert with_price["heads"][head] + with_price["explain"][head]["price"] == pytest.approx(value, abs=1e-5)
    assert with_price["score"] != bare["score"]
    assert chef["status"] == "scored"
