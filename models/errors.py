"""What can be wrong with a model before it scores anything.

BundleError    a folder that is not a sound bundle; the sentence names the file or field
DeviceError    a device that was asked for and is not there
"""

from __future__ import annotations


class BundleError(Exception):
    """The bundle must not be served."""


class DeviceError(Exception):
    """The device cannot be used as asked."""
