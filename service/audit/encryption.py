"""A record becomes a line without readable text: keyed digests of all texts, and on request their ciphertext.

AES-256-GCM, with the request's id as associated data. Owners of the key can decrypt and replay the texts.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import orjson

from models.audit.lines import AuditKeys
from models.audit.sealed import NONCE_BYTES, cipher
from models.text import USUAL_WINDOW
from service.audit.record import AuditRecord
from service.request import ScoringRequest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class LineEncoder:
    """Turns a record into a line."""

    def __init__(self, keys: AuditKeys, *, encrypt_texts: bool, grading: bool = False) -> None:
        """`grading`: the owner allows that sealed texts are sampled and graded. Raises CannotEncrypt."""
        self._grading = grading
        self._keys = keys
        self._cipher = cipher(keys) if encrypt_texts else None

    def line(self, scored: AuditRecord, when: str, dropped: int) -> dict[str, object]:
        """`when` is wall-clock time; `dropped` counts the records lost since the process started."""
        request, result, digest = scored.request, scored.result, self._keys.digest_of
        line: dict[str, object] = {
            "when": when,
            "request": request.id,
            "caller": request.caller,
            "model": result.model.name,
            "version": result.model.version,
            "member": digest(request.member.content),
            "candidates": [[digest(each.id), digest(each.content)] for each in request.candidates],
            "blend": request.blend,
            "statuses": result.statuses,
            "rows": result.rows.tolist(),
            "scores": result.scores.tolist(),
            "degraded": result.degraded,
            "dropped": dropped,
        }
        if request.window != USUAL_WINDOW:
            own = request.window
            line["window"] = [own.tokens, own.from_end, *([] if own.chunks is None else [own.chunks])]
        features = result.readings.features
        if features is not None and features.values.shape[1]:
            line["features"] = features.values.tolist()
        if self._cipher is not None:
            line["sealed"] = _encrypt(request, self._cipher)
            if self._grading:
                line["grading"] = True
        return line


def _encrypt(request: ScoringRequest, key: AESGCM) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    raw = orjson.dumps([request.member.content, [[each.id, each.content] for each in request.candidates]])
    return base64.b64encode(nonce + key.encrypt(nonce, raw, request.id.encode())).decode()
