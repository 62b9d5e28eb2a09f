"""Who is calling, and what they may do. Keys are known by their digests alone; knows no headers but the one given.

`python -m service.http.api_keys NAME SCOPE...` makes a new key: shown once, with the line that the keys file needs.
Keys are random and long, so one round of SHA-256 hides them; a word that a person chose would need a slow hash.
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
# A file of thousands of keys is far below; what is larger is some other file.
MAX_FILE_BYTES = 4 << 20
REFRESH_S = 1.0

log = logging.getLogger("fitscore")


class BadKeys(ValueError):
    """The keys cannot be read; the sentence repeats none of them."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A name for quotas and logs, and what the caller may do."""

    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Key:
    """A caller and the SHA-256 of its key."""

    digest: bytes
    caller: Caller


class _KeyEntry(BaseModel):
    """One key as it stands in the file; while a caller changes from one to another, it has two."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[list[Scope], Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[_KeyEntry]


class ApiKeys:
    """The keys that count now. Without a list and without a file the service is open to whoever reaches it."""

    def __init__(self, listed: Sequence[Key] = (), file: Path | None = None) -> None:
        """Raises BadKeys when the file cannot be read."""
        self._listed = tuple(listed)
        self._file = file
        self._seen: object = None
        self._keys = self._listed
        if file is not None:
            self.refresh()

    def refresh(self) -> bool:
        """Read the file again if it has changed; True when it had. Raises BadKeys, and then the old keys stay."""
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
        """Who holds this `Authorization` header's bearer key, or None. Takes the same time for each."""
        if self._file is None and not self._listed:
            return Caller(ANYONE, frozenset(SCOPES))
        scheme, _, key = (authorization or "").partition(" ")
        given = digest_of(key.strip())
        matches = [key.caller for key in self._keys if hmac.compare_digest(key.digest, given)]
        return matches[0] if matches and scheme.lower() == "bearer" else None


async def watch(keys: ApiKeys) -> None:
    """Follow the file for ever; one that can't be read changes nothing, and is told once for each change."""
    told = ""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            changed, sentence = await asyncio.to_thread(keys.refresh), ""
        except BadKeys as error:
            changed, sentence = False, str(error)
        if changed:
            log.info("the keys were read again")
        if sentence and sentence != told:
            log.error("the old keys stay: %s", sentence)
        told = sentence


def parse_list(spec: str) -> list[Key]:
    """Keys of a setting: "name:key:scope+scope,..."; raises BadKeys."""
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
    """Keys of a file: {"keys": [{"name": ..., "sha256": ..., "scopes": [...]}]}; raises BadKeys."""
    try:
        entries = _File.model_validate_json(raw).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = "/".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _NAMES)
        raise BadKeys(f"{path}: {where or 'the file'} is not what it should be ({first['type']})") from None
    return [Key(bytes.fromhex(each.sha256), Caller(each.name, frozenset(each.scopes))) for each in entries]


_NAMES = ("keys", "name", "sha256", "scopes")


def digest_of(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def main(argv: Sequence[str]) -> int:
    """Make a key and say what the file needs; exit code 2 for arguments that can't be used."""
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
