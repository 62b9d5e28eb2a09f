"""Who is calling, and what they may do. Pure; knows no headers but the one it is given."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

SCOPES = ("score", "candidates", "admin")
ANYONE = "anyone"


class BadKeys(ValueError):
    """The list of keys cannot be read."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A name for quotas and logs, and what the caller may do."""

    name: str
    scopes: frozenset[str]


class Keys:
    """Known keys, kept as digests. Without any the service is open to whoever reaches it."""

    def __init__(self, spec: str) -> None:
        """`spec` is "name:key:scope+scope,..."; raises BadKeys, never repeating a key."""
        self._callers: list[tuple[bytes, Caller]] = []
        for number, entry in enumerate(filter(None, spec.split(",")), start=1):
            parts = entry.strip().split(":")
            scopes = frozenset(parts[2].split("+")) if len(parts) == 3 else frozenset()
            if len(parts) != 3 or not all(parts) or not scopes <= set(SCOPES):
                known = ", ".join(SCOPES)
                raise BadKeys(
                    f"FITSCORE_API_KEYS: entry {number} is not name:key:scope+scope with scopes among {known}"
                )
            self._callers.append((_digest(parts[1]), Caller(parts[0], scopes)))

    def caller(self, authorization: str | None) -> Caller | None:
        """Who holds this `Authorization` header's bearer key, or None. Takes the same time for each."""
        if not self._callers:
            return Caller(ANYONE, frozenset(SCOPES))
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip())
        matches = [caller for digest, caller in self._callers if hmac.compare_digest(digest, given)]
        return matches[0] if matches and scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
