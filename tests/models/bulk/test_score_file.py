"""A file of pairs gets the scores of the service, each text once, also after a run that was killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("polars", reason="bulk scoring needs the extra bulk")

import polars as pl

from models.__main__ import main
from models.bulk import run as module
from models.bulk.checkpoint import Checkpoint
from models.bulk.executors import RayExecutor
from models.bulk.model import MAX_CHARS, BulkModel, open_model
from models.bulk.run import Order, score_file
from models.bundle.manifest import TextSpec
from models.errors import DataError, UserError
from models.features import Feature
from models.slots.lmdb_file import SlotFile
from service.settings import LimitSettings
from tests.support.bundles import TEMPLATE, write_tiny_bundle
from tests.support.service import Serve
from tests.support.split_bundles import write_split_bundle

MEMBERS = [{"headline": "data engineer", "skills": "python spark"}, {"headline": "pastry chef"}, {"headline": "nurse"}]
TITLES = "senior data engineer|pastry chef|junior nurse|platform engineer|ward nurse|hotel chef|data platform".split(
    "|"
)
PAIRS = [
    {"member": MEMBERS[number % 3], "candidate": {"title": TITLES[number % 7]}, "note": f"row {number}"}
    for number in range(30)
]


@pytest.fixture(params=["split", "cross"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "bundles" / "tiny-v1"
    (write_split_bundle if request.param == "split" else write_tiny_bundle)(path)
    return path


@pytest.fixture
def split(tmp_path: Path) -> Path:
    path = tmp_path / "bundles" / "split-v1"
    write_split_bundle(path)
    return path


def write(path: Path, pairs: Sequence[dict[str, Any]] = PAIRS) -> Path:
    """The pairs in the format of the path's ending."""
    flat = [
        {**{f"{s}.{k}": v for s in ("member", "candidate") for k, v in row[s].items()}, "note": row["note"]}
        for row in pairs
    ]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    elif path.suffix == ".csv":
        pl.DataFrame(flat).write_csv(path)
    else:
        pl.DataFrame(flat).write_parquet(path)
    return path


def order(bundle: Path, folder: Path, out: str = "out.jsonl", **changes: Any) -> Order:
    pairs = folder / "pairs.jsonl"
    return Order(
        **{"bundle": bundle, "pairs": pairs if pairs.exists() else write(pairs), "out": folder / out, **changes}
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scores_are_those_of_the_service_to_the_last_bit(model: Path, tmp_path: Path, serve: Serve) -> None:
    done = score_file(order(model, tmp_path))
    service = serve(bundle=model)
    assert (done.pairs, done.scored) == (30, 30)
    for row, pair in zip(lines(tmp_path / "out.jsonl"), PAIRS, strict=True):
        candidate = {"id": "c", "fields": pair["candidate"]}
        [answer] = service.score(member={"fields": pair["member"]}, candidates=[candidate]).json()["scores"]
        heads = {name.removeprefix("head."): value for name, value in row.items() if name.startswith("head.")}
        assert (row["score"], row["status"], heads) == (answer["score"], "scored", answer["heads"])
        assert row["note"] == pair["note"]


@pytest.mark.slow
def test_a_shipped_bundle_scores_as_its_service(tmp_path: Path, serve: Serve) -> None:
    bundle = Path("models/jobs-v1").resolve()
    score_file(order(bundle, tmp_path))
    service = serve(bundle=bundle)
    for row, pair in zip(lines(tmp_path / "out.jsonl"), PAIRS, strict=True):
        candidate = {"id": "c", "fields": pair["candidate"]}
        [answer] = service.score(member={"fields": pair["member"]}, candidates=[candidate]).json()["scores"]
        assert row["score"] == answer["score"]
        assert row["head.apply"] == answer["heads"]["apply"]


def test_three_lines_of_python_give_the_same(model: Path, tmp_path: Path) -> None:
    score_file(order(model, tmp_path))
    found = open_model(model).score(PAIRS)
    assert [each["score"] for each in found] == [row["score"] for row in lines(tmp_path / "out.jsonl")]
    assert found[0]["heads"].keys() == {"relevance", "apply"}  # type: ignore[attr-defined]


def test_texts_are_scored_as_the_service_limits_them() -> None:
    assert LimitSettings.model_fields["max_text_chars"].default == MAX_CHARS


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("out", ["out.csv", "out.parquet", "out.jsonl"])
def test_every_format_gives_the_same_scores(split: Path, tmp_path: Path, ending: str, out: str) -> None:
    expected = [each["score"] for each in open_model(split).score(PAIRS)]
    score_file(order(split, tmp_path, out, pairs=write(tmp_path / f"other{ending}")))
    path = tmp_path / out
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".csv": pl.read_csv,
        ".parquet": pl.read_parquet,
        ".jsonl": pl.read_ndjson,
    }
    frame = readers[path.suffix](path)
    assert frame["score"].to_list() == expected
    assert frame["note"].to_list() == [pair["note"] for pair in PAIRS]
    assert frame.columns[:3] == ["member_id", "candidate_id", "note"]


def test_each_distinct_text_is_encoded_once(split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    encode, rows = BulkModel.encode, BulkModel.rows

    def count(model: BulkModel, texts: Sequence[str]) -> Any:
        seen.update(texts)
        return encode(model, texts)

    def count_member(model: BulkModel, member: str, *rest: Any) -> Any:
        seen.update([f"member {member}"] if model._last is None or model._last[0] != member else [])
        return rows(model, member, *rest)

    monkeypatch.setattr(BulkModel, "encode", count)
    monkeypatch.setattr(BulkModel, "rows", count_member)
    monkeypatch.setattr(module, "UNIT", 4)
    assert score_file(order(split, tmp_path)).encoded == len(TITLES)
    assert set(seen.values()) == {1}
    assert len(seen) == len(TITLES) + len(MEMBERS)


def _score_and_die(bundle: Path, folder: Path, stage: str) -> None:
    done = 0

    def dying(work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            nonlocal done
            if done == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return work(*arguments)

        return wrapped

    module.UNIT, module.TEXTS = 4, 2
    if stage == "encode":
        SlotFile.put_many = dying(SlotFile.put_many)  # type: ignore[method-assign]
    else:
        Checkpoint.finish = dying(Checkpoint.finish)  # type: ignore[method-assign]
    score_file(order(bundle, folder))


@pytest.mark.process
@pytest.mark.parametrize(("stage", "encoded", "resumed"), [("encode", 3, 0), ("score", 0, 8)])
def test_a_killed_run_loses_nothing_and_repeats_nothing(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, encoded: int, resumed: int
) -> None:
    expected = [each["score"] for each in open_model(split).score(PAIRS)]
    process = multiprocessing.get_context("spawn").Process(target=_score_and_die, args=(split, tmp_path, stage))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out.jsonl").exists()
    monkeypatch.setattr(module, "UNIT", 4)
    done = score_file(order(split, tmp_path))
    assert (done.encoded, done.resumed) == (encoded, resumed)
    assert [row["score"] for row in lines(tmp_path / "out.jsonl")] == expected
    assert not (tmp_path / "out.jsonl.partial").exists()


def test_a_run_goes_on_only_with_what_it_began_with(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write_scores", _fail)
    with pytest.raises(RuntimeError):
        score_file(order(split, tmp_path))
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"out\.jsonl\.partial holds an unfinished run with another file of pairs"):
        score_file(order(split, tmp_path, pairs=write(tmp_path / "fewer.jsonl", PAIRS[:5])))
    assert score_file(order(split, tmp_path)).resumed == 30


def _fail(*_: Any) -> None:
    raise RuntimeError


def test_a_pair_that_the_model_cannot_read_has_a_status_and_no_score(split: Path, tmp_path: Path) -> None:
    unread = [{"member": {"headline": "\u2603"}, "candidate": {"title": "nurse"}, "note": "a"}]
    unread += [{"member": MEMBERS[0], "candidate": {"title": "\u2603"}, "note": "b"}, PAIRS[0]]
    done = score_file(order(split, tmp_path, pairs=write(tmp_path / "unread.jsonl", unread)))
    rows = lines(tmp_path / "out.jsonl")
    assert [(row["status"], row["score"] is None) for row in rows] == [
        ("invalid", True),
        ("invalid", True),
        ("scored", False),
    ]
    assert done.scored == 1


def test_a_blend_weighs_the_heads(split: Path, tmp_path: Path) -> None:
    score_file(order(split, tmp_path, blend={"apply": 2.0}))
    rows = lines(tmp_path / "out.jsonl")
    np.testing.assert_array_equal([row["score"] for row in rows], [row["head.apply"] for row in rows])


def test_features_of_a_file_are_read_as_those_of_a_request(tmp_path: Path, serve: Serve) -> None:
    price = Feature(name="price", unit="EUR", low=0, high=100, default=20)
    write_split_bundle(tmp_path / "split-v1", features=(price,))
    pairs = tmp_path / "priced.csv"
    pairs.write_text("member,candidate,feature.price\ndata engineer,nurse,80\ndata engineer,chef,\n")
    score_file(order(tmp_path / "split-v1", tmp_path, pairs=pairs))
    service = serve(bundle=tmp_path / "split-v1")
    sent = [{"id": "a", "text": "nurse", "features": {"price": 80}}, {"id": "b", "text": "chef"}]
    for row, candidate in zip(lines(tmp_path / "out.jsonl"), sent, strict=True):
        [answer] = service.score(member={"text": "data engineer"}, candidates=[candidate]).json()["scores"]
        assert row["score"] == answer["score"]
    pairs.write_text("member,candidate,feature.price\na,b,cheap\n")
    with pytest.raises(DataError, match=r"row 0 \(line 2\), column 'feature.price': 'cheap' is not a finite number"):
        score_file(order(tmp_path / "split-v1", tmp_path, "other.csv", pairs=pairs))


def test_a_long_candidate_has_the_score_of_its_best_chunk(tmp_path: Path, serve: Serve) -> None:
    text = TextSpec(
        tokenizer="tokenizer.json", member_tokens=16, candidate_tokens=4, layout="texts", template=TEMPLATE, chunks=3
    )
    write_split_bundle(tmp_path / "split-v1", text=text, known_answers=())
    pairs = [{"member": {"headline": "nurse"}, "candidate": {"title": long}, "note": ""} for long in TITLES[:2]]
    pairs.append({"member": {"headline": "nurse"}, "candidate": {"title": ". ".join(TITLES)}, "note": ""})
    score_file(order(tmp_path / "split-v1", tmp_path, pairs=write(tmp_path / "long.jsonl", pairs)))
    service = serve(bundle=tmp_path / "split-v1")
    for row, pair in zip(lines(tmp_path / "out.jsonl"), pairs, strict=True):
        candidate = {"id": "c", "fields": pair["candidate"]}
        [answer] = service.score(member={"fields": pair["member"]}, candidates=[candidate]).json()["scores"]
        assert row["score"] == pytest.approx(answer["score"], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("p.csv", "member,note\na,b\n", r"p\.csv: there is no column 'candidate' and no candidate\.FIELD"),
        ("p.csv", "member,candidate\na,\n", r"p\.csv: row 0 \(line 2\), column 'candidate': the candidate has no text"),
        ("p.csv", "member,candidate\na,b\nc\n", r"p\.csv: row 1 \(line 3\), column 'candidate': the row ends"),
        ("p.jsonl", '{"member": {"x": true}, "candidate": "c"}\n', r"row 0 \(line 1\), column 'member\.x': is true or"),
        ("p.jsonl", '{"member": "a", "candidate": "c", "score": 1}\n', r"column 'score' would be there twice"),
        ("p.csv", "member,candidate,member_id\na,b,\n", r"row 0 \(line 2\), column 'member_id': is empty"),
        ("p.xls", "x", r"unknown ending '\.xls'"),
    ],
)
def test_bad_input_is_one_sentence(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, sentence: str
) -> None:
    (tmp_path / name).write_text(content)
    assert main(["score", str(split), str(tmp_path / name), str(tmp_path / "out.csv")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("score: ")
    assert re.search(sentence, error), error
    assert not (tmp_path / "out.csv").exists()


def test_an_output_that_exists_is_kept(split: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(DataError, match=r"out\.jsonl exists"):
        score_file(order(split, tmp_path))
    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_without_ray_the_command_says_what_to_install(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    pairs = str(write(tmp_path / "pairs.jsonl"))
    assert main(["score", str(split), pairs, str(tmp_path / "out.csv"), "--engine", "ray"]) == 1
    assert "score: the engine ray is not installed: pip install 'fitscore[ray]'" in capsys.readouterr().err


@pytest.mark.cluster
def test_a_cluster_gives_the_same_bytes(split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(module, "UNIT", 4)
    score_file(order(split, tmp_path, "here.csv"))
    score_file(order(split, tmp_path, "cluster.csv"), RayExecutor())
    assert (tmp_path / "cluster.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
