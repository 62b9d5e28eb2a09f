"""API keys: which caller a key belongs to, and its scopes. The service holds only digests of keys.

`python -m service.http.api_keys NAME SCOPE...` makes a key. It prints the key once, and the entry for the keys file.
Keys are long and random, so one round of SHA-256 is enough; a password would need a slow hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Scope = Literal["score", "candidates", "admin"]
SCOPES: tuple[Scope, ...] = ("score", "candidates", "admin")
ANYONE = "anyone"
# A file with thousands of keys is far smaller. A larger file is a mistake.
MAX_FILE_BYTES = 4 << 20
REFRESH_S = 1.0

log = logging.getLogger("fitscore")


class BadKeys(ValueError):
    """The keys cannot be read. The message repeats none of them."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller: its name, for quotas and logs, and its scopes."""

    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Key:
    """A caller and the SHA-256 of its key."""

    digest: bytes
    caller: Caller


class _KeyEntry(BaseModel):
    """One key of the file. A caller has two while it changes from one to the other."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[list[Scope], Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[_KeyEntry]


class ApiKeys:
    """The valid keys. Without a list and without a file, every caller has every scope."""

    def __init__(self, listed: Sequence[Key] = (), file: Path | None = None) -> None:
        """Raises BadKeys if the file cannot be read."""
        self._listed = tuple(listed)
        self._file = file
        self.everyone = None if file is not None or listed else Caller(ANYONE, frozenset(SCOPES))
        """The caller of every request, where there are no keys."""
        self._seen: object = None
        self._keys = self._listed
        if file is not None:
            self.refresh()

    def refresh(self) -> bool:
        """Read the file again if it has changed, and return whether it had. On BadKeys the old keys stay valid."""
        if self._file is None:
            return False
        try:
            found = self._file.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return False
            self._seen = seen
            raw = self._file.read_bytes() if found.st_size <= MAX_FILE_BYTES else b""
        except OSError as error:
            raise BadKeys(f"{self._file} cannot be read: {error.strerror}") from None
        self._keys = (*self._listed, *parse_file(raw, self._file))
        return True

    def caller(self, authorization: str | None) -> Caller | None:
        """The caller with the bearer key of an `Authorization` header, or None. Takes the same time for every key."""
        if self.everyone is not None:
            return self.everyone
        scheme, _, key = (authorization or "").partition(" ")
        given = digest_of(key.strip())
        matches = [key.caller for key in self._keys if hmac.compare_digest(key.digest, given)]
        return matches[0] if matches and scheme.lower() == "bearer" else None


async def watch(keys: ApiKeys) -> None:
    """Reload the key file when it changes. On an error keep the old keys, and log once per change."""
    logged = ""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            changed, sentence = await asyncio.to_thread(keys.refresh), ""
        except BadKeys as error:
            changed, sentence = False, str(error)
        if changed:
            log.info("the key file was reloaded")
        if sentence and sentence != logged:
            log.error("the old keys stay valid: %s", sentence)
        logged = sentence


def parse_list(spec: str) -> list[Key]:
    """The keys of a setting, "name:key:scope+scope,...". Raises BadKeys."""
    keys = []
    for number, entry in enumerate(filter(None, spec.split(",")), start=1):
        parts = entry.strip().split(":")
        scopes = frozenset(parts[2].split("+")) if len(parts) == 3 else frozenset()
        if len(parts) != 3 or not all(parts) or not scopes <= set(SCOPES):
            known = ", ".join(SCOPES)
            raise BadKeys(f"FITSCORE_API_KEYS: entry {number} is not name:key:scope+scope with scopes among {known}")
        keys.append(Key(digest_of(parts[1]), Caller(parts[0], scopes)))
    return keys


def parse_file(raw: bytes, path: Path) -> list[Key]:
    """The keys of a file, {"keys": [{"name": ..., "sha256": ..., "scopes": [...]}]}. Raises BadKeys."""
    try:
        entries = _File.model_validate_json(raw).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = "/".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _NAMES)
        raise BadKeys(f"{path}: {where or 'the file'} is not valid ({first['type']})") from None
    return [Key(bytes.fromhex(each.sha256), Caller(each.name, frozenset(each.scopes))) for each in entries]


_NAMES = ("keys", "name", "sha256", "scopes")


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def main(argv: Sequence[str]) -> int:
    """Make a key and print its entry for the file. Exit code 2 for bad arguments."""
    if len(argv) < 2 or not set(argv[1:]) <= set(SCOPES):
        sys.stderr.write(f"python -m service.http.api_keys NAME SCOPE...   with scopes among {', '.join(SCOPES)}\n")
        return 2
    key = secrets.token_urlsafe(32)
    entry = {"name": argv[0], "sha256": digest_of(key).hex(), "scopes": list(argv[1:])}
    sys.stderr.write(f"the key, shown once: {key}\n")
    sys.stdout.write(json.dumps(entry) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
