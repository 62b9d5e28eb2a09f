"""Documents of a rerank request -> candidates: what is read of each, and what is refused.

Raises Invalid with the pointers of `POST /score`, which the shapes translate. A fault never repeats a name or a value
that the caller chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from models.template import NO_NAME, Content, FieldValue
from service.errors import FieldError, Invalid
from service.http.compat.schemas import Document, RerankRequest
from service.request import Item

# A document with one of these has a part that no text model reads.
MEDIA = frozenset(
    "image images image_url image_base64 image_bytes video video_url video_base64 audio audio_url input_audio".split()
)
_MEDIA_FAULT = "is an image, a video or a sound; only texts are read"
_VALUE_FAULT = "holds a value that is not a text, a number or a list of those; rank_fields can leave it out"


def items_of(body: RerankRequest) -> list[Item]:
    """Documents or texts as candidates, with their indexes as ids. Raises Invalid."""
    if body.texts is not None:
        return [Item(str(index), text) for index, text in enumerate(body.texts)]
    items: list[Item] = []
    faults: list[FieldError] = []
    for index, document in enumerate(body.documents or ()):
        try:
            content = document if isinstance(document, str) else _content(document, body.rank_fields)
        except _Refused as refused:
            faults.append(FieldError(f"/candidates/{index}{refused.below}", refused.fault))
        else:
            items.append(Item(str(index), content))
    if faults:
        raise Invalid(errors=faults)
    return items


class _Refused(Exception):
    """Why a document cannot be read. `below` points from the document to the place."""

    def __init__(self, below: str, fault: str) -> None:
        self.below = below
        self.fault = fault


def _content(document: Document, rank_fields: Sequence[str] | None) -> Content:
    """What is read of a document: the fields that are asked for, else its text, else its fields, else its values."""
    values: Mapping[str, object] = document.model_extra or {}
    if rank_fields is not None:
        if document.fields is not None:
            values = {**values, **document.fields}
        chosen = {name: values[name] for name in rank_fields if name in values}
        if document.text is not None and "text" in rank_fields:
            if not chosen:  # read as the text alone
                return document.text
            chosen[NO_NAME] = document.text
        return _read(chosen, "")
    if media := sorted(MEDIA & values.keys()):
        raise _Refused(f"/{media[0]}", _MEDIA_FAULT)
    if document.text is not None:
        return document.text
    if document.fields is not None:
        return _read(document.fields, "/fields")
    return _read(values, "")


def _read(values: Mapping[str, object], below: str) -> Mapping[str, FieldValue]:
    """The values that become text; nulls are empty."""
    read: dict[str, FieldValue] = {}
    for name, value in values.items():
        each_of = value if isinstance(value, list) else [value]
        if not all(each is None or type(each) in (str, int, float) for each in each_of):
            raise _Refused(below, _VALUE_FAULT)
        if value is not None:
            read[name] = cast(FieldValue, value)
    return read
