"""What does not fit the contract, told by the names of its fields and never by their values. Knows no HTTP app."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.errors import FieldError, Invalid
from service.http.schemas import (
    Candidate,
    DeadlineMs,
    Document,
    Member,
    PutCandidates,
    RerankRequest,
    ScoreRequest,
    StoredCandidate,
)

MAX_FAULTS = 20
DEADLINE_HEADER = "X-Deadline-Ms"
_DEADLINE = TypeAdapter(DeadlineMs)


def stated_deadline_ms(headers: Mapping[bytes, bytes]) -> int | None:
    """What the header states, read as the routes read it, body or not. Raises Invalid for what cannot be used."""
    stated = headers.get(DEADLINE_HEADER.lower().encode())
    if stated is None:
        return None
    try:
        return _DEADLINE.validate_python(stated.decode("latin-1"))
    except ValidationError as error:
        found: list[Mapping[str, Any]] = [{**each, "loc": ("header", DEADLINE_HEADER)} for each in error.errors()]
    raise invalid(found)


def invalid(found: Iterable[Mapping[str, Any]]) -> Invalid:
    """The problem that tells of pydantic's errors: each once, and not without end."""
    faults = {(pointer(each["loc"]), plain(each)): None for each in found}
    return Invalid(errors=[FieldError(*fault) for fault in list(faults)[:MAX_FAULTS]])


# What the contract itself calls a field, a header, or a way to read one (the kinds among which pydantic tried).
NAMES = frozenset(
    name
    for contract in (ScoreRequest, Member, Candidate, RerankRequest, Document, PutCandidates, StoredCandidate)
    for name in contract.model_fields
) | {DEADLINE_HEADER, "str", "int", "float", "list[str]", "Document"}


def pointer(location: tuple[object, ...]) -> str:
    """A JSON pointer into the body, or "header: name". Names that the caller chose may be texts: they become "?"."""
    first, *rest = location
    parts = [str(part) if isinstance(part, int) or part in NAMES else "?" for part in rest]
    if first != "body":
        return f"{first}: {'/'.join(parts)}"
    return "".join(f"/{part}" for part in parts)


def plain(error: Mapping[str, object]) -> str:
    """What is wrong, in words that cannot hold a value of the body."""
    kind = str(error["type"])
    if kind == "value_error":  # raised by our own validators, whose sentences are fixed
        return str(error["msg"]).removeprefix("Value error, ")
    return str(error["msg"]) if kind in _FIXED else f"not usable here ({kind})"


# Kinds whose sentence is made of the schema alone.
_FIXED = frozenset(
    "missing extra_forbidden enum string_type string_too_short string_too_long int_type float_type bool_type list_type"
    " dict_type model_type model_attributes_type too_short too_long greater_than_equal less_than_equal".split()
)
