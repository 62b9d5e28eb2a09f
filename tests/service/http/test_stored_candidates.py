"""The candidate store over HTTP: it survives a restart, candidates expire, and an outage is never a 5xx of scoring."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from service.__main__ import main
from tests.support.service import CANDIDATES, MEMBER, Running, Serve

BY_ID = [{"id": "j1"}, {"id": "j2"}]


def statuses(running: Running, candidates: Sequence[Mapping[str, object]]) -> list[str]:
    answer = running.client.post("/score", json={"member": MEMBER, "candidates": candidates})
    assert answer.status_code == 200
    return [each["status"] for each in answer.json()["scores"]]


def test_candidates_in_an_lmdb_folder_survive_a_restart(serve: Serve, tmp_path: Path) -> None:
    first = serve(store=f"lmdb:{tmp_path}")
    assert first.client.put("/candidates", json={"candidates": CANDIDATES, "ttl_s": 3600}).status_code == 200
    first.app.parts.store.close()  # as the end of the process would
    second = serve(store=f"lmdb:{tmp_path}")
    assert statuses(second, [*BY_ID, {"id": "nobody"}]) == ["scored", "scored", "unknown_candidate"]
    found = second.client.get("/metrics").text
    assert "fitscore_candidate_store_entries 2.0" in found
    assert "fitscore_candidate_store_up 1.0" in found


@pytest.mark.parametrize("ttl_s", [0, -1, "soon"])
def test_an_invalid_time_to_live_is_rejected(usual: Running, ttl_s: object) -> None:
    answer = usual.client.put("/candidates", json={"candidates": CANDIDATES, "ttl_s": ttl_s})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/ttl_s"


def test_while_the_store_is_down_texts_are_scored_and_ids_get_a_status(serve: Serve) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        running = serve(store=f"redis://127.0.0.1:{taken.getsockname()[1]}")
        assert statuses(running, [*CANDIDATES, {"id": "j3"}]) == ["scored", "scored", "store_down"]
        assert running.score(candidates=BY_ID).json()["degraded"] is True
        refused = running.client.put("/candidates", json={"candidates": CANDIDATES})
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:fitscore:store-unavailable")
        assert refused.headers["retry-after"] == "1"
        assert running.client.delete("/candidates/j1").status_code == 503
        found = running.client.get("/metrics").text
        assert "fitscore_candidate_store_up 0.0" in found


def test_an_unusable_folder_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FITSCORE_STORE", f"lmdb:{tmp_path / 'file'}")
    assert main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_kind_of_store_is_a_bad_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FITSCORE_STORE", "sqlite:candidates.db")
    assert main() == 2
    assert "FITSCORE_STORE" in capsys.readouterr().err
