"""A session in buckets: each bucket has input and output buffers, made once and bound to the session.

On a GPU this saves allocation and planning on every run. CUDA graphs need it: fixed shapes at fixed addresses, one
graph per bucket, captured and replayed by one thread. The same code runs on the CPU, without graphs.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from models.errors import DeviceError
from models.runtime.buckets import Buckets, Profile
from models.runtime.providers import Cuda, Gpu, Precision, RunMode, TensorRt, engine_folder
from models.runtime.session import NO_GRAPH, Device, Feeds, Outputs, Runner, Session, resolve_device, run_options
from models.runtime.shapes import AnyArray, Size, Tensor, corner, place, size_of

# The arena may still grow in the second run of a shape, and nothing may be allocated while a graph is captured.
RUNS_BEFORE_CAPTURE = 2


def open_runner(
    graph: bytes,
    device: Device,
    threads: int,
    *,
    run_mode: RunMode,
    buckets: Buckets,
    precision: Precision,
    engines: Path,
) -> Runner:
    """Open a graph in a run mode. TensorRT keeps the engines that it builds under `engines`.

    Raises DeviceError when the device or the run mode is not available, BundleError for a bad graph.
    """
    if run_mode == "plain":
        return Session.open(graph, device, threads)
    if run_mode == "bound":
        return BoundSession(Session.open(graph, device, threads), buckets)
    if resolve_device(device) != "cuda":
        raise DeviceError(f"{run_mode!r} needs a GPU")
    if run_mode == "graphs":
        providers = [Cuda(graphs=True).provider()]
    else:
        inputs, _ = Session.open(graph, "cpu", threads).tensors()
        profile = Profile.of(inputs, buckets)
        folder = engine_folder(engines, graph, profile, Gpu.here())
        folder.mkdir(parents=True, exist_ok=True)
        providers = [TensorRt(profile, folder, precision).provider(), Cuda().provider()]
    return BoundSession(Session.open(graph, device, threads, providers=providers), buckets)


class BoundSession:
    """Runs batches of any size in buckets. A batch with more tokens than every bucket runs without padding.

    For one thread at a time. With CUDA graphs, call `warm_up` on the thread that will run the model: other threads get
    the same outputs, without graphs.
    """

    def __init__(self, session: Session, buckets: Buckets) -> None:
        self._session = session
        self._inputs, self._outputs = session.tensors()
        has_tokens = any("tokens" in each.dims for each in self._inputs)
        self.buckets = buckets if has_tokens else replace(buckets, tokens=(1,))
        self.device = session.device
        # Ids start at 1: onnxruntime uses 0 for runs without an id. Each bucket's graph has its own id.
        self._graph_ids = {size: index + 1 for index, size in enumerate(self.buckets.every())}
        self._buffers: dict[Size, _Buffers] = {}
        self._capturing_thread: int | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self._inputs)

    @property
    def bytes(self) -> int:
        """Size of the buffers on the device."""
        return sum(each.bytes for each in self._buffers.values())

    def warm_up(self) -> None:
        """Run every bucket on the calling thread, and capture its CUDA graph where the session uses them."""
        # Make all buffers first: once a graph holds addresses, nothing new may be allocated between them.
        every = [self._buffers_of(size) for size in reversed(self.buckets.every())]
        for _ in range(RUNS_BEFORE_CAPTURE):
            for buffers in every:
                buffers.run(NO_GRAPH)
        if self._session.cuda_graphs:
            for buffers in every:
                buffers.run(self._graph_ids[buffers.size])
            self._capturing_thread = threading.get_ident()

    def run(self, feeds: Feeds) -> AnyArray:
        """The graph's first output; see `run_all`."""
        return self.run_all(feeds)[self._outputs[0].name]

    def run_all(self, feeds: Feeds) -> Outputs:
        """Every output by its name. Feeds are cast to the graph's types; feeds that it does not declare are ignored."""
        size = size_of(self._inputs, feeds)
        if self.buckets.fit(Size(1, 1, size.tokens)) is None:
            return self._session.run_all(feeds)
        whole = {each.name: np.empty(each.shape(size), each.dtype) for each in self._outputs}
        for cut in self.buckets.cut(size):
            bucket = self.buckets.fit(cut.size)
            assert bucket is not None  # `cut` guarantees it
            buffers = self._buffers_of(bucket)
            buffers.write({each.name: feeds[each.name][cut.of(each)] for each in self._inputs})
            buffers.run(self._graph_id(bucket))
            for each in self._outputs:
                whole[each.name][cut.of(each)] = buffers.read(each, cut.size)
        return whole

    def _graph_id(self, bucket: Size) -> int:
        # Another thread would capture a graph now, in the middle of a request.
        return self._graph_ids[bucket] if threading.get_ident() == self._capturing_thread else NO_GRAPH

    def _buffers_of(self, bucket: Size) -> _Buffers:
        if bucket not in self._buffers:
            self._buffers[bucket] = _Buffers(self._session, self._inputs, self._outputs, bucket)
        return self._buffers[bucket]


class _Buffers:
    """One bucket's inputs and outputs on the device, bound to the session."""

    def __init__(self, session: Session, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], size: Size) -> None:
        self.size = size
        self._runtime = session.runtime
        self._binding = session.runtime.io_binding()
        # Feeds are padded here. Initially ones: a mask of zeros would warm up on NaN.
        self._staging: dict[str, AnyArray] = {each.name: np.ones(each.shape(size), each.dtype) for each in inputs}
        self._values = {each.name: self._value(each, session.device) for each in (*inputs, *outputs)}
        for each in inputs:
            self._values[each.name].update_inplace(self._staging[each.name])
            self._binding.bind_ortvalue_input(each.name, self._values[each.name])
        for each in outputs:
            self._binding.bind_ortvalue_output(each.name, self._values[each.name])

    @property
    def bytes(self) -> int:
        return sum(int(value.tensor_size_in_bytes()) for value in self._values.values())

    def write(self, feeds: Feeds) -> None:
        """Pad each feed into its buffer. Raises TypeError for a feed that cannot be cast to the graph's type."""
        for name, staging in self._staging.items():
            place(staging, feeds[name])
            # `staging` has the right type; update_inplace would accept any type of the same size.
            self._values[name].update_inplace(staging)

    def run(self, graph_id: int) -> None:
        """The outputs are complete on return: onnxruntime synchronises the stream at the end of each run."""
        self._runtime.run_with_iobinding(self._binding, run_options(graph_id))

    def read(self, output: Tensor, size: Size) -> AnyArray:
        """An output without padding. On the CPU this is a view: copy it before the next run."""
        array: AnyArray = self._values[output.name].numpy()
        return array[corner(output.shape(size))]

    def _value(self, each: Tensor, device: str) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_shape_and_type(each.shape(self.size), each.dtype.type, device, 0)
