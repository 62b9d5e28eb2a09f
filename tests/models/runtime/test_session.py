"""A session runs on the requested device or raises an error; it never uses another device."""

from __future__ import annotations

from types import SimpleNamespace

import onnxruntime as ort
import pytest

from models.errors import BundleError, DeviceError
from models.runtime.providers import CPU, CUDA, TENSORRT, Cuda
from models.runtime.session import Device, Session, resolve_device
from tests.support.bundles import graph_bytes


class GpuWheelSession:
    """Behaves as the session of the GPU wheel: accepts any provider and uses the ones that it can load."""

    granted: tuple[str, ...] = (CPU,)

    def __init__(self, graph: bytes, options: object, providers: list[tuple[str, dict[str, str]]]) -> None:
        self.requested = providers

    def get_providers(self) -> list[str]:
        return list(self.granted)

    def get_inputs(self) -> list[object]:
        return []

    get_outputs = get_inputs

    def disable_fallback(self) -> None:
        pass


@pytest.fixture
def gpu_wheel(monkeypatch: pytest.MonkeyPatch) -> type[GpuWheelSession]:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(ort, "InferenceSession", GpuWheelSession)
    monkeypatch.setattr(GpuWheelSession, "granted", (CPU,))
    return GpuWheelSession


def devices(*names: str) -> object:
    return lambda: [SimpleNamespace(ep_name=name) for name in names]


@pytest.mark.parametrize(
    ("requested", "present", "resolved"),
    [
        ("auto", [CPU], "cpu"),
        ("auto", [CPU, CUDA], "cuda"),
        ("cpu", [CPU, CUDA], "cpu"),
        ("cuda", [CPU], "cuda"),
    ],
)
def test_auto_is_the_gpu_only_on_a_machine_with_one(
    monkeypatch: pytest.MonkeyPatch, requested: Device, present: list[str], resolved: str
) -> None:
    monkeypatch.setattr(ort, "get_ep_devices", devices(*present))
    assert resolve_device(requested) == resolved


def test_a_wheel_without_cuda_is_an_error() -> None:
    with pytest.raises(DeviceError, match="built without CUDAExecutionProvider"):
        Session.open(graph_bytes(), "cuda", 1)


def test_a_gpu_wheel_that_falls_back_to_the_cpu_is_an_error(gpu_wheel: type[GpuWheelSession]) -> None:
    with pytest.raises(DeviceError, match="'cuda' was requested, but onnxruntime gave CPUExecutionProvider"):
        Session.open(graph_bytes(), "cuda", 1)


def test_tensorrt_that_falls_back_to_cuda_is_an_error(gpu_wheel: type[GpuWheelSession]) -> None:
    gpu_wheel.granted = (CUDA, CPU)
    with pytest.raises(DeviceError, match="onnxruntime gave CUDAExecutionProvider, CPU"):
        Session.open(graph_bytes(), "cuda", 1, providers=[(TENSORRT, {}), Cuda().provider()])


@pytest.mark.parametrize("graphs", [False, True])
def test_an_available_device_is_used_as_requested(gpu_wheel: type[GpuWheelSession], graphs: bool) -> None:
    gpu_wheel.granted = (CUDA, CPU)
    session = Session.open(graph_bytes(), "cuda", 1, providers=[Cuda(graphs=graphs).provider()])
    assert session.device == "cuda"
    assert session.cuda_graphs is graphs
    assert session.runtime.requested == [Cuda(graphs=graphs).provider()]


def test_cuda_has_the_service_options_by_default(gpu_wheel: type[GpuWheelSession]) -> None:
    gpu_wheel.granted = (CUDA, CPU)
    assert Session.open(graph_bytes(), "cuda", 1).runtime.requested == [Cuda().provider()]


def test_a_foreign_graph_has_no_known_axes() -> None:
    from onnx import TensorProto, helper

    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([helper.make_node("Neg", ["pixels"], ["output"])], "other", [pixels], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(BundleError, match="no graph with the inputs pixels"):
        Session.open(model.SerializeToString(), "cpu", 1).tensors()
