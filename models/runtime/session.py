"""One ONNX session on one device: opened from bytes, run with named arrays. Does not know texts, pairs or heads."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.errors import BundleError, DeviceError
from models.runtime.providers import CPU, CUDA, Cuda, Provider
from models.runtime.shapes import Tensor, axes_of, tensor

Device = Literal["auto", "cpu", "cuda"]
Feeds = Mapping[str, NDArray[Any]]
Outputs = dict[str, NDArray[Any]]
DTYPES = {
    "tensor(int64)": np.int64,
    "tensor(int8)": np.int8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
"""Types of the inputs and outputs of Fitscore's graphs."""
GRAPH_ID = "gpu_graph_id"
NO_GRAPH = -1


class Runner(Protocol):
    """Runs a graph on any shape (`Session`) or in buckets (`BoundSession`)."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """The graph's inputs."""
        ...

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """The graph's first output."""
        ...

    def run_all(self, feeds: Feeds) -> Outputs:
        """Every output by its name."""
        ...

    def warm_up(self) -> None:
        """Prepare the first batch, on the thread that will run all batches."""
        ...


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """The actual device: "auto" is the GPU where onnxruntime finds one, else the CPU."""
    if device != "cpu":
        _load_cuda()
    if device != "auto":
        return device
    # get_available_providers() lists what the wheel was built with; get_ep_devices() lists the hardware.
    found = {each.ep_name for each in ort.get_ep_devices()}
    return "cuda" if CUDA in found else "cpu"


class Session:
    """A loaded graph, for one thread at a time."""

    def __init__(
        self, runtime: ort.InferenceSession, device: Literal["cpu", "cuda"], *, cuda_graphs: bool = False
    ) -> None:
        self.runtime = runtime
        self.device = device
        self.cuda_graphs = cuda_graphs
        self._inputs = {each.name: _dtype(each) for each in runtime.get_inputs()}
        self._outputs = tuple(each.name for each in runtime.get_outputs())
        # By default a session with CUDA graphs captures every run, whose arrays no longer exist on replay.
        self._options = run_options(NO_GRAPH) if cuda_graphs else None

    @classmethod
    def open(cls, graph: bytes, device: Device, threads: int, *, providers: Sequence[Provider] = ()) -> Session:
        """Load a graph from verified bytes; reads nothing from disk. `providers` replace the device's default options.

        Raises DeviceError when the device is not available (it never falls back to the CPU), BundleError for a bad
        graph.
        """
        _refuse_two_runtimes()
        chosen = resolve_device(device)
        wanted = list(providers) or [Cuda().provider() if chosen == "cuda" else (CPU, {})]
        for name, _ in wanted:
            if name not in ort.get_available_providers():
                raise DeviceError(f"device {chosen!r} was requested, but this onnxruntime was built without {name}")
        try:
            runtime = ort.InferenceSession(graph, _options(threads, chosen), providers=wanted)
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise BundleError(f"onnxruntime cannot load the graph: {type(error).__name__}") from error
        runtime.disable_fallback()
        granted = runtime.get_providers()
        if granted[: len(wanted)] != [name for name, _ in wanted]:
            raise DeviceError(f"device {chosen!r} was requested, but onnxruntime gave {', '.join(granted)}")
        return cls(runtime, chosen, cuda_graphs=any(each.get("enable_cuda_graph") == "1" for _, each in wanted))

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(self._inputs)

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """The graph's first output; see `run_all`."""
        return self.run_all(feeds)[self._outputs[0]]

    def run_all(self, feeds: Feeds) -> Outputs:
        """Every output by its name. Feeds are cast to the graph's types; feeds that it does not declare are ignored."""
        wanted = {name: np.asarray(feeds[name], dtype) for name, dtype in self._inputs.items() if name in feeds}
        return dict(zip(self._outputs, self.runtime.run(None, wanted, self._options), strict=True))

    def warm_up(self) -> None:
        """Nothing to prepare: shapes are not known in advance."""

    def tensors(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Inputs and outputs with their axes. Raises BundleError for unknown dimensions."""
        inputs, outputs = self.runtime.get_inputs(), self.runtime.get_outputs()
        axes = axes_of({each.name: each.shape for each in inputs})
        known = [
            tuple(tensor(each.name, _dtype(each), each.shape, axes) for each in side) for side in (inputs, outputs)
        ]
        return known[0], known[1]


def run_options(graph_id: int) -> ort.RunOptions:
    """A run that captures or replays the CUDA graph of this id; NO_GRAPH is a normal run."""
    options = ort.RunOptions()
    options.add_run_config_entry(GRAPH_ID, str(graph_id))
    return options


def _dtype(node: ort.NodeArg) -> np.dtype[Any]:
    if node.type not in DTYPES:
        raise BundleError(f"{node.name} is a {node.type}, a type that Fitscore's graphs do not use")
    return np.dtype(DTYPES[node.type])


def _options(threads: int, device: Literal["cpu", "cuda"]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Threads that spin between runs take the cores from the event loop: p99 110 ms with, 42 ms without, on 2 cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # On a GPU a memory plan is one large block for each shape; the arena reuses blocks instead.
    options.enable_mem_pattern = device == "cpu"
    options.log_severity_level = 3
    return options


def _load_cuda() -> None:
    """Load CUDA's libraries from torch or NVIDIA's wheels: onnxruntime finds only loaded ones. No effect on the CPU
    wheel.
    """
    with contextlib.redirect_stdout(sys.stderr):  # it prints the libraries that it does not find
        ort.preload_dlls()


def _refuse_two_runtimes() -> None:
    installed = {each.metadata["Name"] for each in importlib.metadata.distributions(name="onnxruntime")}
    installed |= {each.metadata["Name"] for each in importlib.metadata.distributions(name="onnxruntime-gpu")}
    if {"onnxruntime", "onnxruntime-gpu"} <= installed:
        raise DeviceError("onnxruntime and onnxruntime-gpu are both installed and overwrite each other: uninstall one")
