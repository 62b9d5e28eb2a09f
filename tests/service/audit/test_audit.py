"""The audit log: changes are detected, lost records are counted, no text is readable, scores are reproducible."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from models.audit.lines import AuditKeys, BadLine, segments
from models.text import TokenCounts
from service.audit.__main__ import main
from service.audit.log import AuditLog, open_log
from service.audit.record import AuditRecord
from service.audit.segments import Segments, verify
from service.encoding.inputs import Readings
from service.errors import NotRecorded
from service.request import Item, ItemStatus, Priority, ScoringRequest
from service.scoring.blending import ScoringResult
from service.settings import AuditSettings, BadSetting
from tests.support.metrics import read
from tests.support.service import CANDIDATES, MEMBER, Running, Serve
from tests.support.split_bundles import FEATURES, write_split_bundle
from tests.support.waiting import PATIENCE_S, eventually

SECRET = b"s" * 32
KEYS = AuditKeys.of(SECRET)
CANARY = "canary-7c1f"


def scored(number: int = 0, text: str = "data engineer") -> AuditRecord:
    member, candidates = Item("", text), [Item("j1", "chef")]
    request = ScoringRequest(member, candidates, None, 0.0, Priority.default, id=f"r{number}", caller="web")
    model = Mock(version="1")
    model.name = "tiny"
    rows = np.array([[np.float32(0.1) * number, 0.5]], np.float32)
    readings = Readings(TokenCounts(2, 0, 0), (), {0: TokenCounts(1, 0, 0)}, {}, {})
    result = ScoringResult(model, [ItemStatus.scored], rows, np.array([0.25]), degraded=False, readings=readings)
    return AuditRecord(request, result)


def opened(folder: Path, **settings: object) -> AuditLog:
    """The log in `folder`; `settings` are those of FITSCORE_AUDIT_."""
    key = folder.parent / "secret"
    key.write_bytes(SECRET)
    named = {f"audit_{name}": value for name, value in settings.items()}
    return open_log(folder, AuditSettings.model_validate({"audit_key_file": key, **named}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def filled(folder: Path, num: int, **changes: object) -> Path:
    """A log of `num` records, written and closed."""
    log = opened(folder, **changes)
    for number in range(num):
        log.note(scored(number))
    log.close()
    assert (log.written, log.dropped) == (num, 0)
    return folder


def test_the_service_without_a_log_does_not_import_the_audit_room() -> None:
    program = "import sys, service.app; sys.exit(any(name.startswith('service.audit') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_the_chain_spans_files_and_restarts(folder: Path) -> None:
    for _ in range(3):
        filled(folder, 10, segment_bytes=2000)
    assert len(segments(folder)) > 3
    first, last, head = verify(folder, KEYS.chain)
    assert (first, last) == (1, 30)
    assert json.loads(segments(folder)[-1].read_bytes().splitlines()[-1])["mac"] == head


def flip(raw: bytes) -> bytes:
    place = raw.index(b"r5")
    return raw[:place] + b"r6" + raw[place + 2 :]


def without_a_line(raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    return b"".join(lines[:4] + lines[5:])


def swapped(raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    return b"".join([*lines[:4], lines[5], lines[4], *lines[6:]])


def doubled(raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    return b"".join([*lines[:5], *lines[4:]])


@pytest.mark.parametrize("change", [flip, without_a_line, swapped, doubled, lambda raw: raw[:-5]])
def test_any_change_breaks_the_chain(folder: Path, change: Callable[[bytes], bytes]) -> None:
    (file,) = segments(filled(folder, 10))
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BadLine, match="line"):
        verify(folder, KEYS.chain)


def test_a_change_of_any_byte_is_detected(folder: Path) -> None:
    (file,) = segments(filled(folder, 2))
    raw = file.read_bytes()
    for place in range(0, len(raw), 7):
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(BadLine):
            verify(folder, KEYS.chain)


def test_lines_missing_at_the_end_are_detected_only_by_the_head(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = segments(filled(folder, 10))
    key = str(folder.parent / "secret")
    _, _, head = verify(folder, KEYS.chain)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    assert main(["verify", str(folder), "--key", key]) == 0
    assert main(["verify", str(folder), "--key", key, "--head", head]) == 1
    assert "missing" in capsys.readouterr().err


def test_another_key_verifies_no_line(folder: Path) -> None:
    filled(folder, 1)
    with pytest.raises(BadLine, match="another key"):
        verify(folder, AuditKeys.of(b"t" * 32).chain)


def test_a_line_cut_off_by_a_kill_is_removed_and_the_chain_continues(folder: Path) -> None:
    (file,) = segments(filled(folder, 3))
    file.write_bytes(file.read_bytes()[:-40])
    filled(folder, 2)
    assert verify(folder, KEYS.chain)[:2] == (1, 4)


def test_the_log_stays_within_its_bytes(folder: Path) -> None:
    filled(folder, 100, segment_bytes=3000, bytes=12_000)
    assert sum(path.stat().st_size for path in segments(folder)) <= 12_000
    first, last, _ = verify(folder, KEYS.chain)
    assert first > 1
    assert last == 100


def test_only_one_process_writes_a_log(folder: Path) -> None:
    log = opened(folder)
    with pytest.raises(BadSetting, match="another process"):
        opened(folder)
    log.close()


def test_the_secret_is_required_and_must_not_be_short(folder: Path) -> None:
    short = folder.parent / "short"
    short.write_bytes(b"short")
    with pytest.raises(BadSetting, match="less than 32"):
        opened(folder, key_file=short)
    with pytest.raises(BadSetting, match="FITSCORE_AUDIT_KEY_FILE"):
        opened(folder, key_file=None)


class FullDisk:
    """`os.write` that writes half a line and then fails, until `room` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = threading.Event()
        self.tried = threading.Event()
        self._write = os.write
        monkeypatch.setattr("service.audit.segments.os.write", self.write)

    def write(self, file: int, raw: bytes) -> int:
        if self.room.is_set():
            return self._write(file, raw)
        if len(raw) > 100:
            return self._write(file, raw[:100])
        self.tried.set()
        raise OSError(errno.ENOSPC, "No space left on device")


def unsound(log: AuditLog, disk: FullDisk) -> None:
    assert disk.tried.wait(PATIENCE_S)
    eventually(lambda: not log.writable)


def test_a_full_disk_stops_scoring_and_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    log = opened(folder, when_full="refuse")
    log.check()
    log.note(scored(0))
    unsound(log, disk)
    with pytest.raises(NotRecorded):
        log.check()
    log.note(scored(1))  # was scored while the disk filled up
    disk.room.set()
    eventually(lambda: log.written >= 2)
    log.check()
    log.close()
    assert log.dropped == 0
    assert verify(folder, KEYS.chain)[:2] == (1, 2)


def test_a_full_disk_drops_records_and_counts_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    log = opened(folder, when_full="drop")
    log.note(scored(0))
    unsound(log, disk)
    for number in range(5):
        log.check()
        log.note(scored(number))
    assert log.dropped == 5
    disk.room.set()
    eventually(lambda: log.written >= 1)
    log.note(scored(9))
    log.close()
    lines = [json.loads(line) for line in segments(folder)[0].read_bytes().splitlines()]
    assert [line["request"] for line in lines] == ["r0", "r9"]
    assert lines[-1]["dropped"] == 5


def test_the_queue_is_bounded_in_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    log = opened(folder, when_full="drop", waiting_bytes=5000)
    for number in range(100):
        log.note(scored(number, "x" * 1000))
    assert log.waiting_bytes < 10_000
    assert log.dropped > 90
    disk.room.set()
    log.close()


def audited(serve: Serve, tmp_path: Path, **changes: object) -> tuple[Running, Path]:
    key = tmp_path / "secret"
    key.write_bytes(SECRET)
    return serve(audit=tmp_path / "audit", audit_key_file=key, **changes), tmp_path / "audit"


def test_replay_reproduces_the_service_scores_bit_for_bit(
    serve: Serve, tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, folder = audited(serve, tmp_path, audit_texts="sealed")
    running.client.put("/candidates", json={"candidates": [{"id": "kept", "text": "nurse ward"}]})
    candidates = [*CANDIDATES, {"id": "kept"}, {"id": "unknown"}]
    said = running.score(candidates=candidates).json()["scores"]
    running.client.post("/rerank", json={"query": "chef", "documents": ["bake pastry", {"text": "hotel"}]})
    running.client.put("/candidates", json={"candidates": [{"id": "kept", "text": "something else"}]})
    eventually(lambda: read(running)["fitscore_audit_written"] >= 2)
    first = json.loads(segments(folder)[0].read_bytes().splitlines()[0])
    assert first["statuses"] == [each["status"] for each in said]
    assert [row[0] for row in first["rows"][:3]] == [each["heads"]["relevance"] for each in said[:3]]
    options = [str(folder), "--key", str(tmp_path / "secret"), "--models", str(bundle.parent)]
    assert main(["replay", *options]) == 0
    assert "5 pairs identical, 0 different" in capsys.readouterr().out


def test_replay_reads_the_part_of_a_document_that_was_read(
    serve: Serve, tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, folder = audited(serve, tmp_path, audit_texts="sealed")
    asked = {"query": "chef", "documents": ["bake pastry " * 12 + "hotel", "nurse ward chef"]}
    for options in ({"truncation_direction": "Left"}, {"max_tokens_per_doc": 2}):
        assert running.client.post("/rerank", json={**asked, **options}).status_code == 200
    eventually(lambda: read(running)["fitscore_audit_written"] >= 2)
    lines = [json.loads(line) for line in segments(folder)[0].read_bytes().splitlines()]
    assert [line["window"] for line in lines] == [[None, True], [2, False]]
    assert main(["replay", str(folder), "--key", str(tmp_path / "secret"), "--models", str(bundle.parent)]) == 0
    assert "4 pairs identical, 0 different" in capsys.readouterr().out


def test_replay_reads_the_features_that_were_read(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    write_split_bundle(models / "tiny-v1", features=FEATURES)
    running, folder = audited(serve, tmp_path, bundle=models / "tiny-v1", audit_texts="sealed")
    running.client.put(
        "/candidates", json={"candidates": [{"id": "kept", "text": "nurse ward", "features": {"km": 9}}]}
    )
    sent = [{"id": "a", "text": "chef", "features": {"price": 120.1}}, {"id": "b", "text": "chef"}, {"id": "kept"}]
    said = running.score(candidates=sent).json()["scores"]
    assert said[0]["heads"] != said[1]["heads"]
    eventually(lambda: read(running)["fitscore_audit_written"] >= 1)
    line = json.loads(segments(folder)[0].read_bytes().splitlines()[0])
    assert line["features"] == np.array([[0.6005, 0], [0.25, 0], [0.25, 0.09]], np.float32).tolist()
    assert main(["replay", str(folder), "--key", str(tmp_path / "secret"), "--models", str(models)]) == 0
    assert "3 pairs identical, 0 different" in capsys.readouterr().out


def test_replay_detects_a_score_changed_by_the_owner_of_the_key(
    folder: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = opened(folder, texts="sealed")
    log.note(scored(3))
    log.close()
    options = [str(folder), "--key", str(folder.parent / "secret"), "--models", str(bundle.parent)]
    assert main(["replay", *options]) == 1
    assert "0 pairs identical, 1 different" in capsys.readouterr().out


def test_a_log_of_digests_needs_the_texts_for_replay(
    serve: Serve, tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, folder = audited(serve, tmp_path)
    running.score()
    eventually(lambda: read(running)["fitscore_audit_written"] >= 1)
    options = [str(folder), "--key", str(tmp_path / "secret"), "--models", str(bundle.parent)]
    assert main(["replay", *options]) == 0
    assert "2 pairs whose text is not known" in capsys.readouterr().out
    known = [MEMBER["fields"], *(each.get("fields", each.get("text")) for each in CANDIDATES)]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(map(json.dumps, known)))
    assert main(["replay", *options, "--texts", str(texts)]) == 0
    assert "2 pairs identical" in capsys.readouterr().out


@pytest.mark.parametrize("texts", ["digest", "sealed"])
def test_no_text_and_no_id_is_readable_in_the_log(serve: Serve, tmp_path: Path, texts: str) -> None:
    running, folder = audited(serve, tmp_path, audit_texts=texts)
    running.score(member={"id": CANARY, "text": CANARY}, candidates=[{"id": CANARY, "fields": {CANARY: CANARY}}])
    eventually(lambda: read(running)["fitscore_audit_written"] >= 1)
    assert all(CANARY.encode() not in path.read_bytes() for path in folder.iterdir())


def test_scoring_is_503_while_no_record_can_be_written(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, _ = audited(serve, tmp_path)
    disk = FullDisk(monkeypatch)
    assert running.score().status_code == 200
    log = running.app.parts.audit
    assert log is not None
    unsound(log, disk)
    answer = running.score()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fitscore:not-recorded")
    assert read(running)["fitscore_audit_sound"] == 0
    disk.room.set()
    eventually(lambda: running.score().status_code != 503)
    assert running.client.get("/readyz").status_code == 200


def test_a_log_of_another_key_is_not_continued(folder: Path, tmp_path: Path) -> None:
    filled(folder, 1)
    with pytest.raises(BadLine):
        Segments(folder, AuditKeys.of(b"t" * 32).chain, segment_bytes=1000, total_bytes=10_000)
