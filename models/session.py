"""One ONNX session on one device: opened from bytes, run with named arrays. Knows nothing of texts, pairs or heads."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.errors import BundleError, DeviceError

Device = Literal["auto", "cpu", "cuda"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """The device meant: "auto" is the GPU where the runtime finds one, else the CPU."""
    if device != "auto":
        return device
    # get_available_providers() names what the wheel was built with, GPU or not; devices are what is there.
    found = {each.ep_name for each in ort.get_ep_devices()}
    return "cuda" if PROVIDERS["cuda"] in found else "cpu"


class Session:
    """A loaded graph. One thread at a time should run it."""

    def __init__(self, session: ort.InferenceSession, device: Literal["cpu", "cuda"]) -> None:
        self._session = session
        self._inputs = frozenset(each.name for each in session.get_inputs())
        self.device = device
        self.providers: tuple[str, ...] = tuple(session.get_providers())

    @classmethod
    def open(cls, graph: bytes, device: Device, threads: int) -> Session:
        """Load a graph from bytes that were already verified; nothing else is read from disk.

        Raises DeviceError when the device is not granted (never a silent fall to the CPU), BundleError when
        the graph is not sound.
        """
        _refuse_two_runtimes()
        chosen = resolve_device(device)
        if PROVIDERS[chosen] not in ort.get_available_providers():
            raise DeviceError(f"device {chosen!r} was asked for, but this onnxruntime was built without it")
        try:
            session = ort.InferenceSession(graph, _options(threads), providers=[PROVIDERS[chosen]])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise BundleError(f"onnxruntime cannot load the graph: {type(error).__name__}") from error
        session.disable_fallback()
        if session.get_providers()[0] != PROVIDERS[chosen]:
            raise DeviceError(f"device {chosen!r} was asked for, but onnxruntime gave {session.get_providers()[0]}")
        return cls(session, chosen)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The graph's first output, f32[n, heads]. Inputs that the graph does not declare are left out."""
        wanted = {name: array for name, array in feeds.items() if name in self._inputs}
        output: NDArray[np.float32] = self._session.run(None, wanted)[0]
        return output


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Threads that spin between runs take the cores from the event loop: p99 110 ms with, 42 ms without, on 2 cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _refuse_two_runtimes() -> None:
    installed = {each.metadata["Name"] for each in importlib.metadata.distributions(name="onnxruntime")}
    installed |= {each.metadata["Name"] for each in importlib.metadata.distributions(name="onnxruntime-gpu")}
    if {"onnxruntime", "onnxruntime-gpu"} <= installed:
        raise DeviceError("onnxruntime and onnxruntime-gpu are both installed and overwrite each other: uninstall one")
