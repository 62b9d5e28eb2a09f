"""The audit log as the service sees it: accepts records without waiting for the disk.

One thread writes, off the event loop. The queue is bounded in bytes. When the queue or the disk is full, the setting
decides: `refuse` scoring until records can be written, or `drop` records, which a counter and the next line state.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from models.audit.lines import AuditKeys, BadLine, chained
from models.audit.sealed import CannotEncrypt
from service.audit.encryption import LineEncoder
from service.audit.record import AuditRecord
from service.audit.segments import LogTaken, Segments
from service.errors import NotRecorded
from service.settings import AuditSettings, BadSetting

log = logging.getLogger("fitscore")
RETRY_S = 1.0
SECRET_BYTES = 32


def open_log(folder: Path, settings: AuditSettings) -> AuditLog:
    """Continue the log in `folder`, or start one. Raises BadSetting."""
    if settings.key_file is None:
        raise BadSetting("FITSCORE_AUDIT_KEY_FILE: an audit log needs a secret of 32 bytes or more")
    try:
        secret = settings.key_file.read_bytes().strip()
        if len(secret) < SECRET_BYTES:
            raise BadSetting(f"{settings.key_file} holds less than {SECRET_BYTES} bytes")
        keys = AuditKeys.of(secret)
        encoder = LineEncoder(keys, encrypt_texts=settings.texts == "sealed", grading=settings.grading == "on")
        segments = Segments(folder, keys.chain, segment_bytes=settings.segment_bytes, total_bytes=settings.total_bytes)
    except OSError as error:
        raise BadSetting(f"the audit log cannot be written: {error.filename}: {error.strerror}") from None
    except BadLine as fault:
        raise BadSetting(f"{folder}: the last line {fault}") from None
    except (LogTaken, CannotEncrypt) as error:
        raise BadSetting(str(error)) from None
    return AuditLog(segments, encoder, keys, settings)


class AuditLog:
    """`note` and `check` run on the event loop and never wait for the disk."""

    def __init__(self, segments: Segments, encoder: LineEncoder, keys: AuditKeys, settings: AuditSettings) -> None:
        self._segments = segments
        self._encoder = encoder
        self._key = keys.chain
        self._max_waiting_bytes = settings.waiting_bytes
        self._when_full = settings.when_full
        self._waiting: deque[tuple[str, AuditRecord]] = deque()
        self.waiting_bytes = 0  # estimated
        self._changed = threading.Condition()
        self._closing = False
        self.written = self.dropped = 0
        self.writable = True  # False after a failed write, until one succeeds
        self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether the queue or the disk takes no more records."""
        return self.waiting_bytes >= self._max_waiting_bytes or not self.writable

    def check(self) -> None:
        """Raise NotRecorded while scoring must wait for the log."""
        if self._when_full == "refuse" and self.full:
            raise NotRecorded(retry_after_s=RETRY_S)

    def note(self, scored: AuditRecord) -> None:
        """Queue a record. A record whose request passed `check` is never dropped; dropped records are counted."""
        with self._changed:
            if self._when_full == "drop" and self.full:
                self.dropped += 1
                return
            self._waiting.append((datetime.now(UTC).isoformat(), scored))
            self.waiting_bytes += scored.size
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, with one more try on a full disk, and close the files."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self.dropped += len(self._waiting)
        if self._waiting:
            log.error("audit: %d records could not be written", len(self._waiting))
        self._segments.close()
        log.info("audit: last line %d, mac %s", self._segments.number, self._segments.previous)

    # On the writing thread.

    def _write(self) -> None:
        while (found := self._next()) is not None:
            if not self._written(*found):
                if self._closing:
                    return
                with self._changed:
                    self._changed.wait(RETRY_S)
                continue
            with self._changed:
                self._waiting.popleft()
                self.waiting_bytes -= found[1].size
            self.written += 1

    def _next(self) -> tuple[str, AuditRecord] | None:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            return self._waiting[0] if self._waiting else None

    def _written(self, when: str, scored: AuditRecord) -> bool:
        """Append the record; False when the disk does not take it, and then it stays first in the queue."""
        line = self._encoder.line(scored, when, self.dropped)
        raw, mac = chained(line, self._segments.number + 1, self._segments.previous, self._key)
        try:
            self._segments.append(raw, mac)
        except OSError as error:
            if self.writable:
                log.error("audit: cannot write: %s", error.strerror)
            self.writable = False
            return False
        self.writable = True
        return True
