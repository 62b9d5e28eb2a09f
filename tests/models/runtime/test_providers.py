"""Options of execution providers, and the folder of an engine, which depends on all that it was built from."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import DeviceError
from models.runtime.buckets import Profile
from models.runtime.providers import Cuda, Gpu, TensorRt, engine_folder

PROFILE = Profile(
    least={"input_ids": (1, 32), "attention_mask": (1, 32)},
    usual={"input_ids": (256, 128), "attention_mask": (256, 128)},
    most={"input_ids": (512, 194), "attention_mask": (512, 194)},
)
GPU = Gpu("NVIDIA H200", "580.82.07", "10.16.1.11")


def test_cuda_options_are_spelled_as_onnxruntime_expects() -> None:
    name, options = Cuda(graphs=True, tf32=False).provider()
    assert name == "CUDAExecutionProvider"
    assert options == {
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "1",
        "enable_cudnn": "1",
        "use_tf32": "0",
        "enable_cuda_graph": "1",
    }


def test_cuda_graphs_are_off_by_default() -> None:
    assert Cuda().provider()[1]["enable_cuda_graph"] == "0"


def test_tensorrt_gets_every_input_of_the_profile_and_its_caches() -> None:
    name, options = TensorRt(PROFILE, Path("engines/key"), "fp16").provider()
    assert name == "TensorrtExecutionProvider"
    assert options["trt_profile_min_shapes"] == "input_ids:1x32,attention_mask:1x32"
    assert options["trt_profile_opt_shapes"] == "input_ids:256x128,attention_mask:256x128"
    assert options["trt_profile_max_shapes"] == "input_ids:512x194,attention_mask:512x194"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == "engines/key"
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"


@pytest.mark.parametrize(("precision", "flag"), [("fp16", "1"), ("fp32", "0")])
def test_tensorrt_uses_fp16_only_for_fp16_graphs(precision: str, flag: str) -> None:
    assert TensorRt(PROFILE, Path("engines"), precision).provider()[1]["trt_fp16_enable"] == flag  # type: ignore[arg-type]


def test_an_engine_folder_is_stable() -> None:
    folder = engine_folder(Path("engines"), b"graph", PROFILE, GPU)
    assert folder.parent == Path("engines")
    assert folder == engine_folder(Path("engines"), b"graph", replace(PROFILE), replace(GPU))


@pytest.mark.parametrize(
    ("graph", "profile", "gpu"),
    [
        (b"other graph", PROFILE, GPU),
        (b"graph", replace(PROFILE, most={**PROFILE.most, "input_ids": (512, 195)}), GPU),
        (b"graph", PROFILE, replace(GPU, name="NVIDIA L4")),
        (b"graph", PROFILE, replace(GPU, driver="580.82.08")),
        (b"graph", PROFILE, replace(GPU, tensorrt="10.16.1.12")),
    ],
    ids=["graph", "profile", "device", "driver", "tensorrt"],
)
def test_any_difference_gives_another_engine_folder(graph: bytes, profile: Profile, gpu: Gpu) -> None:
    known = engine_folder(Path("engines"), b"graph", PROFILE, GPU)
    assert engine_folder(Path("engines"), graph, profile, gpu) != known


def test_the_first_gpu_is_read_from_nvidia_smi() -> None:
    assert Gpu.read("NVIDIA H200, 580.82.07\nNVIDIA L4, 580.82.07\n", "10.16.1.11") == GPU


@pytest.mark.parametrize("answer", ["", "\n", "No devices were found\n"])
def test_an_answer_without_a_gpu_is_an_error(answer: str) -> None:
    with pytest.raises(DeviceError, match="TensorRT was requested"):
        Gpu.read(answer, "10.16.1.11")


def test_a_machine_without_a_driver_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="nvidia-smi finds no GPU"):
        Gpu.here()


@pytest.mark.parametrize(
    ("installed", "sentence"),
    [
        ({"tensorrt": "11.4.0.106"}, "needs TensorRT 10, but tensorrt 11"),
        ({}, "none of tensorrt-cu13"),
    ],
)
def test_another_major_version_of_tensorrt_is_rejected(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], sentence: str
) -> None:
    import importlib.metadata

    from models.runtime.providers import tensorrt_version

    def version(package: str) -> str:
        if package not in installed:
            raise importlib.metadata.PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(DeviceError, match=sentence):
        tensorrt_version()
