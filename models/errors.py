"""What can be wrong with a model before it scores anything, and with what is stored for it.

BundleError    a folder that is not a sound bundle; the sentence names the file or field
DeviceError    a device that was asked for and is not there
StoreError     a store that cannot do what was asked: NoRoom, StoreDown
DamagedEntry   one entry of a store that is not what was written
"""

from __future__ import annotations


class BundleError(Exception):
    """The bundle must not be served."""


class DeviceError(Exception):
    """The device cannot be used as asked."""


class StoreError(Exception):
    """The store cannot do what was asked. Never names content."""


class NoRoom(StoreError):
    """There is no room for all of these; none was stored."""


class StoreDown(StoreError):
    """The store cannot be reached or read at the moment; a later try may succeed."""


class DamagedEntry(Exception):
    """What was stored is not what was written. Never names content."""
