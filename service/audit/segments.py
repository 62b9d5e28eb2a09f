"""The files of an audit log: numbered segments in one folder, bounded in bytes, written by one process at a time.

Appends whole lines or nothing: a line that a full disk or a kill cut off is removed. Does not know what lines contain.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from models.audit.lines import START, checked, checked_lines, segments


class LogTaken(Exception):
    """Another process is writing this log."""


class Segments:
    """Appends lines. Starts a new file when one is full, and deletes the oldest files to stay within `total_bytes`."""

    def __init__(self, folder: Path, key: bytes, *, segment_bytes: int, total_bytes: int) -> None:
        """Raises LogTaken, OSError, or BadLine when the last line is not of this log."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._total_bytes = total_bytes
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise LogTaken(f"{folder} is written by another process") from None
        self.number, self.previous = self._last(key)
        self._file = -1
        self._size = 0

    def _last(self, key: bytes) -> tuple[int, str]:
        """Number and mac of the last whole line. A torn line after it, left by a kill, is cut off."""
        for path in reversed(segments(self._folder)):
            raw = path.read_bytes()
            whole = raw[: raw.rfind(b"\n") + 1]
            if len(whole) < len(raw):
                os.truncate(path, len(whole))
            if whole:
                line = checked(whole[whole.rfind(b"\n", 0, -1) + 1 :], None, None, key)
                return int(str(line["number"])), str(line["mac"])
            path.unlink()
        return 0, START

    def append(self, line: bytes, mac: str) -> None:
        """Write the next line. Raises OSError, and then the file is unchanged."""
        if self._file < 0 or self._size + len(line) > self._segment_bytes:
            self._begin_segment(len(line))
        try:
            _write_all(self._file, line)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)
        self.number, self.previous = self.number + 1, mac

    def _begin_segment(self, needed: int) -> None:
        self._end_segment()
        self._make_room(needed)
        path = self._folder / f"audit-{self.number + 1:012d}.jsonl"
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size

    def _end_segment(self) -> None:
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _make_room(self, needed: int) -> None:
        files = segments(self._folder)
        sizes = [path.stat().st_size for path in files]
        while files and sum(sizes) + max(needed, self._segment_bytes) > self._total_bytes:
            files.pop(0).unlink()
            sizes.pop(0)

    def close(self) -> None:
        """Close the files, so that another process can write."""
        self._end_segment()
        os.close(self._lock)


def _write_all(file: int, raw: bytes) -> None:
    left = memoryview(raw)
    while left:
        left = left[os.write(file, left) :]


def verify(folder: Path, key: bytes) -> tuple[int, int, str]:
    """Numbers of the first and the last line, and the last mac. Raises BadLine with file and line."""
    first, last, mac = 0, 0, START
    for line in checked_lines(folder, key):
        last, mac = int(str(line["number"])), str(line["mac"])
        first = first or last
    return first, last, mac
