"""Limits on a scoring request that its schema cannot express: number of items, length of texts, deadline."""

from __future__ import annotations

from collections.abc import Sequence

from service.errors import FieldError, Invalid
from service.request import Item
from service.settings import LimitSettings


class RequestLimits:
    """Checks requests against the settings."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings

    def check(self, items: Sequence[Item], where: str) -> None:
        """Raise Invalid for too many items, a repeated id, or a text that is too long."""
        if len(items) > self._settings.max_candidates:
            raise Invalid(errors=[FieldError(where, f"at most {self._settings.max_candidates} items")])
        seen: set[str] = set()
        for index, item in enumerate(items):
            if item.id in seen:
                raise Invalid(errors=[FieldError(f"{where}/{index}/id", "is a duplicate")])
            seen.add(item.id)
            self.check_length(item, f"{where}/{index}")

    def check_length(self, item: Item, where: str) -> None:
        """Raise Invalid if the text, or all fields together, are too long."""
        if item.num_chars > self._settings.max_text_chars:
            raise Invalid(errors=[FieldError(where, f"at most {self._settings.max_text_chars} characters")])

    def deadline(self, arrived: float, *stated_ms: int | None) -> float:
        """The earliest stated deadline, else the default, in monotonic seconds."""
        stated = [ms for ms in stated_ms if ms is not None]
        return arrived + min(stated, default=self._settings.default_deadline_ms) / 1000
