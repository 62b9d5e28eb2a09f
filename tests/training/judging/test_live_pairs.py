"""Pairs of the audit log: only those whose owner allows it, the shown ones alone, and the rate of poor matches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from models.audit.lines import segments
from tests.support.bundles import TEMPLATE, WORDS, write_tiny_bundle
from tests.support.chat_server import ChatServer
from tests.support.metrics import read
from tests.support.service import Serve
from tests.support.waiting import eventually
from training.__main__ import main
from training.judging.live_pairs import LiveLogError, LivePlan, live_pairs, poor_matches

REQUESTS, CANDIDATES = 12, 8
SEALED = {"audit_texts": "sealed", "audit_grading": "on"}


def logged(serve: Serve, tmp_path: Path, **settings: object) -> LivePlan:
    """The plan for a log that a real service wrote."""
    write_tiny_bundle(tmp_path / "demo-v1", name="demo")
    (tmp_path / "key").write_bytes(b"k" * 32)
    audit = {"audit": tmp_path / "audit", "audit_key_file": tmp_path / "key"}
    service = serve(bundle=tmp_path / "demo-v1", **audit, **settings)
    for number in range(REQUESTS):
        titles = [f"{word} {WORDS[number]}" for word in WORDS[:CANDIDATES]]
        candidates = [{"id": str(place), "fields": {"title": title}} for place, title in enumerate(titles)]
        service.score(member={"fields": {"headline": WORDS[number]}}, candidates=candidates)
    eventually(lambda: read(service)["fitscore_audit_written"] == REQUESTS)
    return LivePlan(tmp_path / "audit", tmp_path / "key", pairs=20, shown=3)


def test_drawn_pairs_are_among_the_first_of_their_requests(serve: Serve, tmp_path: Path) -> None:
    plan = logged(serve, tmp_path, **SEALED)
    pairs = live_pairs(plan, "demo", TEMPLATE)
    assert len(pairs) == len({(pair.member_id, pair.candidate_id) for pair in pairs}) == 20
    lines = {f"{line['request']}#{line['number']}": line for line in map(json.loads, _raw(plan.folder))}
    for pair in pairs:
        scores = lines[pair.member_id]["scores"]
        place = int(pair.candidate_id.split("#")[1])
        assert scores[place] >= sorted(scores)[-3]
        assert pair.candidate == f"{WORDS[place]} {pair.member}"
    assert live_pairs(plan, "demo", TEMPLATE) == pairs


def _raw(folder: Path) -> list[bytes]:
    return [line for path in segments(folder) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize(
    "settings", [{"audit_texts": "sealed"}, {"audit_texts": "digest", "audit_grading": "on"}, SEALED | {"other": True}]
)
def test_no_pair_is_read_without_consent(serve: Serve, tmp_path: Path, settings: dict[str, object]) -> None:
    product = "another" if settings.pop("other", False) else "demo"
    settings = {"audit_texts": "sealed", **settings}
    plan = logged(serve, tmp_path, **settings)
    with pytest.raises(LiveLogError, match=rf"no line of {product} that may be graded: .*FITSCORE_AUDIT_GRADING=on"):
        live_pairs(plan, product, TEMPLATE)


def test_a_changed_log_is_refused(serve: Serve, tmp_path: Path) -> None:
    plan = logged(serve, tmp_path, **SEALED)
    (path,) = segments(plan.folder)
    path.write_bytes(path.read_bytes().replace(b'"caller"', b'"baller"', 1))
    with pytest.raises(LiveLogError, match=r"audit-000000000001\.jsonl, line 1: was changed"):
        live_pairs(plan, "demo", TEMPLATE)


def graded(grades: Sequence[int | None], per_request: int) -> pl.DataFrame:
    requests = [str(place // per_request) for place in range(len(grades))]
    rows = {"member_id": requests, "dimension": ["overall"] * len(grades), "grade": grades}
    return pl.DataFrame(rows, schema_overrides={"grade": pl.Int64})


def test_the_rate_counts_grades_of_nought_and_one_and_its_interval_follows_requests() -> None:
    found = poor_matches(graded([0, 1, 2, 3, 4, None] * 20, 6))
    assert found is not None
    assert (found.rate.mean, found.pairs, found.requests) == (0.4, 100, 20)
    alike = poor_matches(graded([0] * 50 + [4] * 50, 10))  # the pairs of a request are all poor, or none is
    apart = poor_matches(graded([0, 4] * 50, 1))
    assert alike is not None
    assert apart is not None
    assert alike.rate.mean == apart.rate.mean == 0.5
    assert alike.rate.high - alike.rate.low > 2 * (apart.rate.high - apart.rate.low)
    assert poor_matches(graded([None], 1)) is None


def test_the_command_says_the_rate_of_what_was_shown(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    plan = logged(serve, tmp_path, **SEALED)
    with ChatServer() as server:
        command = ["judge", "demo", "--runs", str(tmp_path / "runs"), "--live-log", str(plan.folder)]
        command += ["--audit-key", str(plan.key), "--live-pairs", "20", "--live-shown", "3"]
        assert main([*command, "--judge-url", server.url, "--judge-model", "small"]) == 0
    said = capsys.readouterr().out
    assert "of 20 graded pairs in" in said
    assert "take the rate as a hint" in said  # no golden grades: the judge passed no gate
    folder = tmp_path / "runs" / "demo" / "labels" / "live"
    overall = pl.concat([pl.read_parquet(folder / f"{name}.parquet") for name in ("grades", "held_back")])
    poor = overall.filter((pl.col("dimension") == "overall") & (pl.col("grade") <= 1)).height
    assert json.loads((folder / "live.json").read_text())["rate"]["mean"] == pytest.approx(poor / 20)
