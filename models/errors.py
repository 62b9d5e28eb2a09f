"""What can go wrong with a model, with stored slots and texts, and with fields. No message names content."""

from __future__ import annotations


class UserError(Exception):
    """Input, settings or surroundings are wrong. The sentence says what and where. Any other exception is a bug."""


class DataError(UserError):
    """A row that cannot be used; the message names file, row and column."""


class BundleError(Exception):
    """The bundle must not be served; the sentence names the file or field."""


class DeviceError(Exception):
    """The requested device cannot be used."""


class StoreError(Exception):
    """The store cannot serve a call."""


class NoRoom(StoreError):
    """The entries do not fit; none was stored."""


class StoreDown(StoreError):
    """The store cannot be reached or read; a later attempt may succeed."""


class DamagedEntry(Exception):
    """A stored entry is not what was written."""


class FieldError(Exception):
    """A value of a field that cannot become a text. The message has the name and the problem, not the value."""

    kind = "field"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{self.kind} {field!r} {problem}")
        self.field = field
        self.problem = problem


class FeatureError(FieldError):
    """A feature that is no number: the candidate cannot be scored."""

    kind = "feature"
