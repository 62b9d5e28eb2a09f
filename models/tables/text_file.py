"""Text files as UTF-8, with the line of the first byte that is not, and other formats known by their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from models.errors import DataError

MAX_CELL = 1_000_000
"""Characters of one cell or value. No model reads that much; an unclosed quote swallows more."""
MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive: export it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: export it as CSV",
    b"\x1f\x8b": "compressed with gzip: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it",
    b"PAR1": "Parquet: name it .parquet",
    b"\xff\xfe": "UTF-16: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
    b"%PDF": "a PDF: export the table as CSV",
    b"<!DOCTYPE": "a web page: the download may have asked for a login",
    b"<html": "a web page: the download may have asked for a login",
}


def check_head(path: Path) -> None:
    """Raise DataError for an empty file, and for one that begins as another format does."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip(b" \t\r\n\xef\xbb\xbf"):
        raise DataError(f"{path.name} is empty: check how the file was written")
    for magic, words in MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path.name} is {words}")
    if b"\0" in head[1:200:2] or b"\0" in head[0:200:2]:
        at = head.count(b"\n", 0, head.index(b"\0")) + 1
        raise DataError(f"{path.name}: line {at}: holds NUL bytes, as UTF-16 does: save the file as UTF-8")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """The file as UTF-8, with or without a byte order mark. Raises DataError with the line of a byte that is not."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError:
        raise DataError(_not_utf8(path)) from None


def _not_utf8(path: Path) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"byte {error.start + 1} (0x{line[error.start]:02X})"
                return f"{path.name}: line {number}, {byte}: is not UTF-8: save the file as UTF-8, not Latin-1"
    return f"{path.name}: is not UTF-8: save the file as UTF-8"
