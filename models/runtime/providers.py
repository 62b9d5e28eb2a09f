"""Execution providers of onnxruntime and their options, in the spelling of onnxruntime 1.31.

Knows no session and no bundle.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from models.errors import DeviceError
from models.runtime.buckets import Profile

Provider = tuple[str, dict[str, str]]
Precision = Literal["fp32", "fp16", "int8"]
RunMode = Literal["plain", "bound", "graphs", "tensorrt"]
"""How a graph runs: on any shape; in buckets; in buckets with CUDA graphs; in buckets by TensorRT."""

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
# The TensorRT provider of onnxruntime 1.31 is linked against TensorRT 10; `pip install tensorrt` brings 11.
TENSORRT_PACKAGES = ("tensorrt-cu13", "tensorrt-cu12", "tensorrt")


@dataclass(frozen=True)
class Cuda:
    """The CUDA provider. Defaults are for a service: its own arena, one stream, all of the GPU."""

    graphs: bool = False
    # TF32 keeps 10 bits of the mantissa in matrix products of fp32 graphs: off where outputs are compared.
    tf32: bool = True
    # Whether reductions may use cuDNN; off where it is not installed.
    cudnn: bool = True

    def provider(self) -> Provider:
        """For `InferenceSession(providers=...)`."""
        return CUDA, {
            # The default doubles the arena: half of the GPU for a model that needs little more than its weights.
            "arena_extend_strategy": "kSameAsRequested",
            # In one stream, copies and kernels need no synchronisation.
            "do_copy_in_default_stream": "1",
            "enable_cudnn": _flag(self.cudnn),
            "use_tf32": _flag(self.tf32),
            "enable_cuda_graph": _flag(self.graphs),
        }


@dataclass(frozen=True)
class TensorRt:
    """The TensorRT provider: engines built once for a profile and kept in a folder of their own (`engine_folder`).

    Profiles are explicit: a shape outside an inferred range would rebuild the engine inside a request.
    """

    profile: Profile
    folder: Path
    precision: Precision

    def provider(self) -> Provider:
        """For `InferenceSession(providers=...)`."""
        profile = self.profile
        return TENSORRT, {
            "trt_profile_min_shapes": _shapes(profile.least),
            "trt_profile_opt_shapes": _shapes(profile.usual),
            "trt_profile_max_shapes": _shapes(profile.most),
            "trt_fp16_enable": _flag(self.precision == "fp16"),
            "trt_layer_norm_fp32_fallback": "1",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(self.folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(self.folder),
        }


@dataclass(frozen=True)
class Gpu:
    """The GPU and software that an engine was built on; it runs on no other."""

    name: str
    driver: str
    tensorrt: str

    @classmethod
    def here(cls) -> Gpu:
        """The first GPU of this machine. Raises DeviceError where there is no driver or no TensorRT 10."""
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise DeviceError("TensorRT was requested, but nvidia-smi finds no GPU") from error
        return cls.read(answer, tensorrt_version())

    @classmethod
    def read(cls, answer: str, tensorrt: str) -> Gpu:
        """From nvidia-smi's lines `name, driver version`."""
        name, _, driver = answer.strip().partition("\n")[0].rpartition(", ")
        if not name or not driver:
            raise DeviceError("TensorRT was requested, but nvidia-smi lists no GPU")
        return cls(name, driver, tensorrt)


def engine_folder(root: Path, graph: bytes, profile: Profile, gpu: Gpu) -> Path:
    """The folder of a graph's engines. It depends on the graph, profile, GPU, driver and TensorRT, so that a stale
    engine is never loaded.
    """
    key = hashlib.blake2b(digest_size=16)
    key.update(hashlib.sha256(graph).digest())
    key.update(json.dumps([asdict(profile), asdict(gpu)], sort_keys=True).encode())
    return root / key.hexdigest()


def tensorrt_version() -> str:
    """The installed TensorRT's version. Raises DeviceError where onnxruntime cannot use it."""
    for package in TENSORRT_PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if not version.startswith("10."):
            raise DeviceError(f"onnxruntime needs TensorRT 10, but {package} {version} is installed")
        return version
    raise DeviceError(f"TensorRT was requested, but none of {', '.join(TENSORRT_PACKAGES)} is installed")


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _flag(value: bool) -> str:
    return "1" if value else "0"
