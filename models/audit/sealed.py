"""The sealed texts of a line: AES-256-GCM, the request's id as associated data. Owners of the key read them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from models.audit.lines import AuditKeys
from models.template import Content

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class CannotEncrypt(Exception):
    """Encryption is switched on, and its library is not installed."""


def decrypt(line: dict[str, object], key: AESGCM) -> tuple[Content | None, list[tuple[str, Content | None]]]:
    """The member, and the candidates with their ids. Raises the cipher's InvalidTag for another key or a change."""
    raw = base64.b64decode(str(line["sealed"]))
    clear = key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], str(line["request"]).encode())
    member, candidates = json.loads(clear)
    return member, [(name, content) for name, content in candidates]


def cipher(keys: AuditKeys) -> AESGCM:
    """AES-256-GCM with the encryption key. Raises CannotEncrypt."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise CannotEncrypt("sealed texts need the package `cryptography` (the extra `audit`)") from None
    return AESGCM(keys.encryption)
