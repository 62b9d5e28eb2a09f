"""Check that TensorRT accepts a bundle: `python -m training.compression.tensorrt_check BUNDLE`. Needs no GPU.

Parses and builds each GPU graph with the bundle's own profiles. It uses TensorRT-RTX, which builds engines on the CPU
and has TensorRT's parser, but not all of its kernels. It is proprietary: the extra `trt-check` installs it for this
check only.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle.files import Bundle
from models.loading import open_encoder
from models.runtime.buckets import BatchLimits, Profile
from models.runtime.session import Session

NOT_CHECKED = 2


class NoTensorRt(Exception):
    """TensorRT-RTX is not installed."""


@dataclass(frozen=True)
class BuildResult:
    """TensorRT's result for a graph: bytes of its engine, or why there is none."""

    engine_bytes: int
    seconds: float
    refusal: str = ""

    def __str__(self) -> str:
        return f"refused: {self.refusal}" if self.refusal else f"{self.engine_bytes:,} bytes in {self.seconds:.1f} s"


def check_bundle(bundle: Bundle) -> dict[str, BuildResult]:
    """Build every graph that is not int8 (int8 is for CPUs); results by file and part.

    A file that serves two parts is built for the profile of each.
    """
    encoder = open_encoder(bundle)
    limits = BatchLimits(encoder.longest_member, encoder.longest_candidate)
    verdicts = {}
    for graph in bundle.manifest.graphs:
        if graph.precision != "int8":
            raw = bundle.contents[graph.file]
            inputs, _ = Session.open(raw, "cpu", 1).tensors()
            verdicts[f"{graph.file} ({graph.part})"] = build(raw, Profile.of(inputs, limits.buckets(graph.part)))
    return verdicts


def build(graph: bytes, profile: Profile) -> BuildResult:
    """Parse a graph and build an engine for a range of shapes. Raises NoTensorRt if it is not installed."""
    trt = _tensorrt()
    started = time.perf_counter()
    # TensorRT's own logger: the builder's threads would call a Python logger and deadlock.
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        return BuildResult(0, time.perf_counter() - started, f"parser: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, profile))
    engine = builder.build_serialized_network(network, config)
    refusal = "" if engine is not None else "builder: no engine; TensorRT prints the reason to stderr"
    return BuildResult(0 if engine is None else int(engine.nbytes), time.perf_counter() - started, refusal)


def _profile(builder: Any, profile: Profile) -> Any:  # noqa: ANN401  # TensorRT has no types
    made = builder.create_optimization_profile()
    for name, least in profile.least.items():
        made.set_shape(name, least, profile.usual[name], profile.most[name])
    return made


def _tensorrt() -> Any:  # noqa: ANN401
    try:
        import tensorrt_rtx_bindings
    except ImportError as error:
        raise NoTensorRt("not checked: TensorRT-RTX is not installed; run pip install '.[trt-check]'") from error
    return tensorrt_rtx_bindings


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 if a graph is refused, 2 if nothing could be checked."""
    parser = argparse.ArgumentParser(prog="python -m training.compression.tensorrt_check", description=__doc__)
    parser.add_argument("bundle", type=Path)
    try:
        verdicts = check_bundle(Bundle.load(parser.parse_args(argv).bundle))
    except NoTensorRt as error:
        print(error)
        return NOT_CHECKED
    for name, verdict in verdicts.items():
        print(f"{name}: {verdict}")
    if not verdicts:
        print("not checked: the bundle has no fp32 or fp16 graph")
        return NOT_CHECKED
    return 1 if any(verdict.refusal for verdict in verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
