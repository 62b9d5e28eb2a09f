"""The slot file survives kill -9, is shared by processes, is moved aside when damaged, and returns no wrong slots."""

import multiprocessing
import signal
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from models.errors import NoRoom, StoreDown
from models.slots.codec import Slots, content_key, model_key
from models.slots.lmdb_environment import SUSPECT, open_environment
from models.slots.lmdb_file import FORM, SlotFile
from tests.support.waiting import PATIENCE_S, eventually

OLD, NEW = model_key(b"old"), model_key(b"new")
PLENTY = 64 << 20
SPAWN = multiprocessing.get_context("spawn")


def slots_of(number: int) -> Slots:
    return np.random.default_rng(number).normal(size=(4, 384)).astype(np.float16)


def entries(start: int, end: int, model: bytes = NEW) -> dict[bytes, Slots]:
    return {content_key(model, str(number)): slots_of(number) for number in range(start, end)}


def assert_holds(file: SlotFile, expected: dict[bytes, Slots]) -> None:
    for found, slots in zip(file.get_many(list(expected)), expected.values(), strict=True):
        assert found is not None
        np.testing.assert_array_equal(found, slots)


def filled(folder: Path, num_entries: int = 50) -> Path:
    """Create a file with entries; returns its path."""
    file = SlotFile(folder, PLENTY)
    file.put_many(entries(0, num_entries))
    file.close()
    return folder / "data.mdb"


def test_slots_are_found_after_reopening(tmp_path: Path) -> None:
    filled(tmp_path)
    file = SlotFile(tmp_path, PLENTY)
    assert_holds(file, entries(0, 50))
    assert file.get_many([content_key(NEW, "another"), content_key(OLD, "1")]) == [None, None]
    assert file.usage().entries == 50
    file.close()


def test_a_put_that_does_not_fit_stores_nothing(tmp_path: Path) -> None:
    file = SlotFile(tmp_path, 1 << 20)
    file.put_many(entries(0, 100))
    with pytest.raises(NoRoom):
        file.put_many(entries(100, 400))
    assert file.get_many(list(entries(100, 400))) == [None] * 300
    assert_holds(file, entries(0, 100))
    file.close()


def test_dropped_entries_of_old_models_free_their_space(tmp_path: Path) -> None:
    file = SlotFile(tmp_path, 4 << 20)
    for _ in range(5):
        file.put_many(entries(0, 800, OLD))
        file.put_many(entries(0, 10, NEW))
        assert sorted(file.models()) == sorted([OLD, NEW])
        assert file.keep_only([NEW]) == 800
    assert file.models() == [NEW]
    assert_holds(file, entries(0, 10, NEW))
    file.close()


def _write_many(folder: Path, sender: Connection) -> None:
    file = SlotFile(folder, PLENTY)
    for start in range(0, 10_000, 7):
        file.put_many(entries(start, start + 7))
        sender.send(start + 7)


def received(receiver: Connection, at_least: int) -> int:
    """The next number that the writer sent, or 0 below `at_least`."""
    assert receiver.poll(PATIENCE_S)
    number: int = receiver.recv()
    return number if number >= at_least else 0


def test_every_acknowledged_entry_outlives_kill_9(tmp_path: Path) -> None:
    for _ in range(2):
        receiver, sender = SPAWN.Pipe(duplex=False)
        writer = SPAWN.Process(target=_write_many, args=(tmp_path, sender))
        writer.start()
        sender.close()
        acknowledged = eventually(partial(received, receiver, 70))
        writer.kill()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        while receiver.poll():
            try:
                acknowledged = receiver.recv()
            except EOFError:
                break
        file = SlotFile(tmp_path, PLENTY)
        assert_holds(file, entries(0, acknowledged))
        file.close()


def _answer(folder: Path, connection: Connection) -> None:
    file = SlotFile(folder, PLENTY)
    while (start := connection.recv()) is not None:
        assert_holds(file, entries(start, start + 10))
        file.put_many(entries(start + 10, start + 20))
        connection.send(start + 10)
    file.close()


def test_two_processes_share_one_file(tmp_path: Path) -> None:
    ours, theirs = SPAWN.Pipe()
    other = SPAWN.Process(target=_answer, args=(tmp_path, theirs))
    file = SlotFile(tmp_path, PLENTY)
    other.start()
    for start in (0, 20, 40):
        file.put_many(entries(start, start + 10))
        ours.send(start)
        written = ours.recv()
        assert_holds(file, entries(written, written + 10))
    ours.send(None)
    other.join()
    assert other.exitcode == 0
    file.close()


def flip(data: Path, place: int, mask: int = 0x10) -> None:
    with data.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ mask]))


def num_right(file: SlotFile, expected: dict[bytes, Slots]) -> int:
    """The number of entries; fails for a wrong one."""
    there = [(found, slots) for found, slots in zip(file.get_many(list(expected)), expected.values(), strict=True)]
    for found, slots in there:
        if found is not None:
            np.testing.assert_array_equal(found, slots)
    return sum(found is not None for found, _ in there)


def test_flipped_bytes_anywhere_never_give_wrong_slots(tmp_path: Path) -> None:
    data = filled(tmp_path / "sound")
    whole = data.read_bytes()
    places = np.random.default_rng(0).integers(0, len(whole), size=6).tolist()
    for place in places:
        data.write_bytes(whole)
        flip(data, place)
        (data.parent / SUSPECT).touch()  # a flipped byte of the tree may go unnoticed, or kill the reader
        file = SlotFile(tmp_path / "sound", PLENTY)
        num_right(file, entries(0, 50))
        file.put_many(entries(0, 50))
        assert_holds(file, entries(0, 50))
        file.close()


def test_a_broken_tree_is_reported_and_moved_aside_at_the_next_opening(tmp_path: Path) -> None:
    data = filled(tmp_path)
    pages = np.frombuffer(data.read_bytes(), np.uint8).reshape(-1, 4096).copy()
    for page in pages:
        if NEW in page.tobytes():
            page[10:12] = 0  # its flags: neither branch nor leaf
    data.write_bytes(pages.tobytes())
    file = SlotFile(tmp_path, PLENTY)
    with pytest.raises(StoreDown):
        file.get_many(list(entries(0, 1)))
    file.close()
    file = SlotFile(tmp_path, PLENTY)
    assert file.get_many(list(entries(0, 1))) == [None]
    file.close()
    assert len(list(tmp_path.glob("damaged-*.mdb"))) == 1
    assert not (tmp_path / SUSPECT).exists()


def damaged_value(folder: Path) -> None:
    """A file with one damaged entry."""
    data = filled(folder)
    body = slots_of(7).tobytes()
    flip(data, data.read_bytes().index(body) + 1000, 0x80)


def test_a_damaged_entry_is_missing_and_can_be_written_again(tmp_path: Path) -> None:
    damaged_value(tmp_path)
    file = SlotFile(tmp_path, PLENTY)
    assert num_right(file, entries(0, 50)) == 49
    assert file.damaged == 1
    file.put_many(entries(7, 8))
    assert_holds(file, entries(0, 50))
    file.close()


def test_without_the_checksum_a_damaged_entry_would_give_wrong_slots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.slots.codec._checksum", lambda *_: 0)
    damaged_value(tmp_path)
    file = SlotFile(tmp_path, PLENTY)
    with pytest.raises(AssertionError):
        num_right(file, entries(0, 50))
    file.close()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9])
def test_a_truncated_file_is_moved_aside_and_replaced(
    tmp_path: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    data = filled(tmp_path)
    size = int(data.stat().st_size * share)
    with data.open("r+b") as file:
        file.truncate(size)
    reopened = SlotFile(tmp_path, PLENTY)
    assert reopened.get_many(list(entries(0, 50))) == [None] * 50
    reopened.put_many(entries(0, 5))
    assert_holds(reopened, entries(0, 5))
    reopened.close()
    if size:  # an empty file is a new one
        assert len(list(tmp_path.glob("damaged-*.mdb"))) == 1
        assert [record.message.count("moved to") for record in caplog.records] == [1]


def test_a_file_of_another_format_is_moved_aside(tmp_path: Path) -> None:
    open_environment(tmp_path, form="fitscore-slots-0", databases=["slots"], max_bytes=PLENTY).close()
    file = SlotFile(tmp_path, PLENTY)
    file.put_many(entries(0, 1))
    file.close()
    assert len(list(tmp_path.glob("damaged-*.mdb"))) == 1
    open_environment(tmp_path, form=FORM, databases=["slots"], max_bytes=PLENTY).close()
    assert len(list(tmp_path.glob("damaged-*.mdb"))) == 1
