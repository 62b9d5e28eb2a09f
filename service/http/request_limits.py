"""Limits on a request that its schema cannot express: number of items, length of stored texts, deadline."""

from __future__ import annotations

from collections.abc import Sequence

from service.errors import FieldError, Invalid
from service.request import Item
from service.settings import LimitSettings


class RequestLimits:
    """Checks requests against the settings."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self.max_candidates = settings.max_candidates
        self.max_text_chars = settings.max_text_chars

    def check(self, items: Sequence[Item], where: str) -> None:
        """Raise Invalid for too many items, or a repeated id."""
        if len(items) > self._settings.max_candidates:
            raise Invalid(errors=[FieldError(where, f"must have at most {self._settings.max_candidates} entries")])
        seen: set[str] = set()
        for index, item in enumerate(items):
            if item.id in seen:
                raise Invalid(errors=[FieldError(f"{where}/{index}/id", "is a duplicate")])
            seen.add(item.id)

    def check_lengths(self, items: Sequence[Item], where: str) -> None:
        """Raise Invalid if a text, or all fields together, are too long to be stored."""
        for index, item in enumerate(items):
            if item.num_chars > self._settings.max_text_chars:
                detail = f"must have at most {self._settings.max_text_chars} characters"
                raise Invalid(errors=[FieldError(f"{where}/{index}", detail)])

    def deadline(self, arrived: float, *stated_ms: int | None) -> float:
        """The earliest stated deadline, else the default, in monotonic seconds."""
        stated = [ms for ms in stated_ms if ms is not None]
        return arrived + min(stated, default=self._settings.default_deadline_ms) / 1000
