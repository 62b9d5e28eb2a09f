"""One spelling of each path without parameters: repeated slashes, and one at the end, do not count.

All that depends on a path sees it after this.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_SLASHES = re.compile("/{2,}")


def plain_path(path: str, known: Collection[str]) -> str:
    """The known path that is meant, or else the path as it is: an id may hold any slashes."""
    if path in known or not (path.endswith("/") or "//" in path):
        return path
    plain = _SLASHES.sub("/", path).rstrip("/")
    return plain if plain in known else path
