"""The sandbox: a graph that crashes or hangs does so in a child process, and the live model stays."""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.errors import BundleError
from service.registry.sandbox import SandboxProcesses, load_in_sandbox
from tests.support.bundles import graph_bytes, write_tiny_bundle
from tests.support.fakes import PATIENT, SMALL_CAPS
from tests.support.service import Serve
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.process

LATE = "did not load within {} s in a sandbox process"


def then(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> bytes:
    """The tiny graph, with nodes appended that compute `logits` from its own output, here called `first`."""
    model = onnx.load_model_from_string(graph_bytes())
    model.graph.node[-1].output[0] = "first"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    return bytes(model.SerializeToString())


def greedy() -> bytes:
    """Takes 1 GiB for any batch."""
    nodes = [
        helper.make_node("ReduceMean", ["first", "rows_axis"], ["one"], keepdims=1),
        helper.make_node("Expand", ["one", "vast"], ["much"]),
        helper.make_node("ReduceMax", ["much", "rows_axis"], ["most"], keepdims=1),
        helper.make_node("Sub", ["most", "most"], ["nothing"]),
        helper.make_node("Add", ["first", "nothing"], ["logits"]),
    ]
    vast = numpy_helper.from_array(np.array([1 << 27, 2], dtype=np.int64), "vast")
    return then(nodes, [numpy_helper.from_array(np.array([0], dtype=np.int64), "rows_axis"), vast])


def endless() -> bytes:
    """A loop of 2^62 turns."""
    kinds: dict[str, tuple[int, list[str | int | None]]] = {
        "turn": (TensorProto.INT64, []),
        "on": (TensorProto.BOOL, []),
        "held": (TensorProto.FLOAT, ["n", 2]),
    }
    values = {name: helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()}
    still_on = helper.make_tensor_value_info("still_on", TensorProto.BOOL, [])
    moved = helper.make_tensor_value_info("moved", TensorProto.FLOAT, ["n", 2])
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still_on"]), helper.make_node("Neg", ["held"], ["moved"])],
        "body",
        list(values.values()),
        [still_on, moved],
    )
    turns = numpy_helper.from_array(np.array(1 << 62, dtype=np.int64), "turns")
    go = numpy_helper.from_array(np.array(True), "go")
    return then([helper.make_node("Loop", ["turns", "go", "first"], ["logits"], body=body)], [turns, go])


def write_poison(path: Path, graph: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr("tests.support.bundles.graph_bytes", lambda **_: graph)
        write_tiny_bundle(path, version="2")
    return path


def test_an_intact_bundle_loads_in_the_sandbox(bundle: Path) -> None:
    load_in_sandbox(bundle, PATIENT, SMALL_CAPS, SandboxProcesses())


def test_a_graph_that_takes_too_much_memory_is_rejected_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy_bundle = write_poison(tmp_path / "greedy", greedy(), monkeypatch)
    with pytest.raises(BundleError, match=r"greedy needs more than 400 MiB of memory$"):
        load_in_sandbox(greedy_bundle, PATIENT, SMALL_CAPS, SandboxProcesses())


def test_a_graph_that_hangs_is_rejected_and_the_live_model_stays(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(tmp_path / "tiny-v1")
    write_poison(tmp_path / "endless", endless(), monkeypatch)
    running = serve(bundle=tmp_path / "tiny-v1", trial_s=2, threads=2)  # 4 s of processor time, of which it takes 2
    before = running.score().json()
    answer = running.client.post("/v1/models/2:activate")
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"the live model stays: endless {LATE.format(2)}"
    assert running.score().json() == before


def test_a_graph_that_takes_too_much_processor_time_is_rejected_long_before_its_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = """
import math, sys, time
from service.registry import sandbox
sandbox._cpu_seconds = lambda _: math.ceil(time.process_time()) + 1
sys.exit(sandbox.main(sys.argv[1:]))
"""
    bundle = write_poison(tmp_path / "endless", endless(), monkeypatch)
    with pytest.raises(BundleError, match=r"endless took more than 300 s of processor time in a sandbox process$"):
        load_in_sandbox(bundle, PATIENT, SMALL_CAPS, SandboxProcesses(), (sys.executable, "-c", hurried))


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        ("import os; os.abort()", r"x crashed the sandbox process that loaded it \(SIGABRT\)"),
        ("import ctypes; ctypes.string_at(0)", r"x crashed the sandbox process that loaded it \(SIGSEGV\)"),
        ("import sys; sys.exit(7)", r"x ended the sandbox process that loaded it \(exit code 7\)"),
        ("import signal; signal.alarm(1)\nwhile True: pass", f"x {LATE.format(300)}"),
        (
            "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass",
            r"x took more than 300 s of processor time in a sandbox process",
        ),
    ],
)
def test_every_end_of_the_child_is_one_sentence(deed: str, sentence: str) -> None:
    with pytest.raises(BundleError, match=f"^{sentence}$"):
        load_in_sandbox(Path("x"), PATIENT, SMALL_CAPS, SandboxProcesses(), (sys.executable, "-c", deed))


def test_the_child_has_none_of_the_keys_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITSCORE_API_KEYS", "web:s3cret:score")
    tell = "import os, sys; print(sorted(n for n in os.environ if 'FITSCORE' in n)); sys.exit(3)"
    with pytest.raises(BundleError, match=r"^\[\]$"):
        load_in_sandbox(Path("x"), PATIENT, SMALL_CAPS, SandboxProcesses(), (sys.executable, "-c", tell))


WAITS = (sys.executable, "-c", "import time; time.sleep(600)")


def test_a_sandbox_process_ends_with_the_service_and_none_starts_afterwards() -> None:
    children = SandboxProcesses()
    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(load_in_sandbox, Path("x"), PATIENT, SMALL_CAPS, children, WAITS)
        eventually(lambda: children._running)
        [child] = children._running
        children.end()
        with pytest.raises(BundleError, match=r"^x was not loaded: the service is stopping$"):
            trying.result(PATIENCE_S)
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(BundleError, match="the service is stopping"):
        load_in_sandbox(Path("x"), PATIENT, SMALL_CAPS, children, WAITS)


def test_a_sandbox_process_without_an_end_goes_on() -> None:
    """The negative control: the same child with a shorter limit."""
    hurried = PATIENT.model_copy(update={"trial_s": 1.0})
    with pytest.raises(BundleError, match="did not load within 1 s"):
        load_in_sandbox(Path("x"), hurried, SMALL_CAPS, SandboxProcesses(), WAITS)
