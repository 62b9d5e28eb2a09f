"""Texts of members and candidates in the audit log: by keyed digest alone, or sealed as well so that owners of the
key can read and replay them (AES-256-GCM, the request's id bound in). Never in the clear.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import orjson

from service.audit.record import AuditKeys, AuditRecord, Content

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class CannotSeal(Exception):
    """Sealing was asked for and the library for it is not installed."""


class Sealer:
    """Turns what was scored into a line that holds no text."""

    def __init__(self, keys: AuditKeys, *, sealing: bool) -> None:
        """Raises CannotSeal."""
        self._keys = keys
        self._cipher = cipher(keys) if sealing else None

    def line(self, scored: AuditRecord, when: str, dropped: int) -> dict[str, object]:
        """`when` is the wall clock's time; `dropped` is how many records were lost before this one, ever."""
        line: dict[str, object] = {
            "when": when,
            "request": scored.request_id,
            "caller": scored.caller,
            "model": scored.model,
            "version": scored.version,
            "member": self._keys.digest_of(scored.member),
            "candidates": [
                [self._keys.digest_of(name), self._keys.digest_of(each)] for name, each in scored.candidates
            ],
            "blend": scored.blend,
            "statuses": list(scored.statuses),
            "rows": [list(row) for row in scored.rows],
            "scores": list(scored.scores),
            "degraded": scored.degraded,
            "dropped": dropped,
        }
        if self._cipher is not None:
            line["sealed"] = self._seal(scored)
        return line

    def _seal(self, scored: AuditRecord) -> str:
        assert self._cipher is not None
        nonce = secrets.token_bytes(NONCE_BYTES)
        raw = orjson.dumps([scored.member, [list(each) for each in scored.candidates]])
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, raw, scored.request_id.encode())).decode()


def unseal(line: dict[str, object], sealed_by: AESGCM) -> tuple[Content, list[tuple[str, Content]]]:
    """The member, and the candidates with their ids. Raises the cipher's InvalidTag for another key or a change."""
    raw = base64.b64decode(str(line["sealed"]))
    clear = sealed_by.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], str(line["request"]).encode())
    member, candidates = orjson.loads(clear)
    return member, [(name, content) for name, content in candidates]


def cipher(keys: AuditKeys) -> AESGCM:
    """AES-256-GCM with the sealing key. Raises CannotSeal."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise CannotSeal("sealed texts need the package `cryptography` (the extra `audit`)") from None
    return AESGCM(keys.seal)
