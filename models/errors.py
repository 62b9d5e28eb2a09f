"""What can go wrong with a model before it scores, and with stored slots and texts. No message names content."""

from __future__ import annotations


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
