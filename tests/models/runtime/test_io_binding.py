"""A graph gives the same outputs with and without buckets; a bucket's CUDA graph runs on the thread that captured it.

Runs on the CPU with the same class, buffers and ids; its provider ignores the ids.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.errors import BundleError
from models.runtime.buckets import BatchLimits, Buckets
from models.runtime.io_binding import RUNS_BEFORE_CAPTURE, BoundSession
from models.runtime.session import GRAPH_ID, NO_GRAPH, Session
from models.runtime.shapes import Size, place
from tests.support.bundles import graph_bytes
from tests.support.split_bundles import WIDTH, write_split_bundle

BUCKETS = Buckets((1, 2, 4), tokens=(4, 8), candidates=(2, 4), max_pairs=8)
BUNDLE = Path(__file__).parents[3] / "models" / "jobs-v1"


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    return write_split_bundle(tmp_path_factory.mktemp("split") / "b").contents


def dot_graph(candidates: str | None = "c") -> bytes:
    """logits[m, c, S] = slots . vector: the score graph of a model without joint layers."""
    info, slots = helper.make_tensor_value_info, ["m", candidates, 2, WIDTH]
    inputs = [info("vector", TensorProto.FLOAT, ["m", WIDTH]), info("slots", TensorProto.FLOAT, slots)]
    nodes = [
        helper.make_node("Unsqueeze", ["vector", "axes"], ["broad"]),
        helper.make_node("Mul", ["slots", "broad"], ["products"]),
        helper.make_node("ReduceSum", ["products", "last"], ["logits"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(np.array(axes), name) for name, axes in (("axes", [1, 2]), ("last", [3]))]
    output = info("logits", TensorProto.FLOAT, ["m", candidates, 2])
    graph = helper.make_graph(nodes, "dot", inputs, [output], initializer=constants)
    opset = helper.make_opsetid("", 20)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString())


def score_feeds(rows: int, candidates: int, tokens: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of the score graph; the first token of each member is real, others by chance."""
    random = np.random.default_rng(seed)
    mask = random.integers(0, 2, (rows, tokens))
    mask[:, :1] = 1
    shapes = {"keys_values": (1, 2, 1, tokens, WIDTH), "vector": (WIDTH,), "slots": (candidates, 2, WIDTH)}
    floats = {name: random.normal(size=(rows, *shape)).astype(np.float32) for name, shape in shapes.items()}
    return {**floats, "member_mask": mask}


class Recording:
    """A runtime that records the graph id of each run."""

    def __init__(self, graph: bytes) -> None:
        self._runtime = Session.open(graph, "cpu", 1).runtime
        self.ids: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._runtime, name)

    def run(self, names: None, feeds: dict[str, np.ndarray], options: ort.RunOptions) -> list[np.ndarray]:
        self.ids.append(int(options.get_run_config_entry(GRAPH_ID)))
        outputs: list[np.ndarray] = self._runtime.run(names, feeds, options)
        return outputs

    def run_with_iobinding(self, binding: ort.IOBinding, options: ort.RunOptions) -> None:
        self.ids.append(int(options.get_run_config_entry(GRAPH_ID)))
        self._runtime.run_with_iobinding(binding, options)


def bound(graph: bytes, buckets: Buckets = BUCKETS) -> tuple[BoundSession, Session]:
    session = Session.open(graph, "cpu", 1)
    return BoundSession(session, buckets), session


def with_graphs(graph: bytes) -> tuple[BoundSession, Recording]:
    runtime = Recording(graph)
    return BoundSession(Session(runtime, "cpu", cuda_graphs=True), BUCKETS), runtime


def padded(feeds: dict[str, np.ndarray], size: Size, session: Session) -> dict[str, np.ndarray]:
    buffers = {each.name: np.empty(each.shape(size), each.dtype) for each in session.tensors()[0]}
    for name, buffer in buffers.items():
        place(buffer, feeds[name])
    return buffers


@pytest.mark.parametrize("size", [Size(1, 1, 1), Size(2, 3, 5), Size(4, 2, 8), Size(3, 2, 4)])
def test_a_bucket_equals_the_padded_batch_bit_for_bit(graphs: Mapping[str, bytes], size: Size) -> None:
    ours, plain = bound(graphs["score.onnx"])
    feeds = score_feeds(size.rows, size.candidates, size.tokens)
    bucket = BUCKETS.fit(size)
    assert bucket is not None
    expected = plain.run(padded(feeds, bucket, plain))[: size.rows, : size.candidates]
    np.testing.assert_array_equal(ours.run(feeds), expected)


def test_batches_of_any_size_equal_the_plain_session(graphs: Mapping[str, bytes]) -> None:
    ours, plain = bound(graphs["score.onnx"])
    ours.warm_up()
    for seed, (rows, candidates, tokens) in enumerate(
        [(1, 1, 3), (4, 4, 8), (9, 11, 5), (5, 1, 8), (2, 3, 9), (1, 2, 1)]
    ):
        feeds = score_feeds(rows, candidates, tokens, seed)
        np.testing.assert_allclose(ours.run(feeds), plain.run(feeds), atol=1e-5)


def test_every_output_is_returned_without_padding(graphs: Mapping[str, bytes]) -> None:
    ours, plain = bound(graphs["member.onnx"])
    ids = np.arange(1, 16).reshape(5, 3)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    expected, found = plain.run_all(feeds), ours.run_all(feeds)
    assert list(found) == ["vector", "keys_values"]
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_an_earlier_batch_does_not_affect_a_later_one(graphs: Mapping[str, bytes]) -> None:
    ours, plain = bound(graphs["score.onnx"])
    first, second = score_feeds(2, 2, 8, seed=1), score_feeds(1, 1, 5, seed=2)
    before = ours.run(first)
    kept = before.copy()
    np.testing.assert_allclose(ours.run(second), plain.run(second), atol=1e-5)
    np.testing.assert_array_equal(before, kept)


def test_a_dot_product_has_no_buckets_by_length() -> None:
    ours, plain = bound(dot_graph())
    assert {size.tokens for size in ours.buckets.every()} == {1}
    feeds = score_feeds(3, 3, 7)
    np.testing.assert_allclose(ours.run(feeds), plain.run(feeds), atol=1e-5)


def test_fp16_slots_are_passed_unchanged(graphs: Mapping[str, bytes]) -> None:
    ours, _ = bound(graphs["score.onnx"])
    feeds = score_feeds(1, 2, 3)
    halves = {**feeds, "slots": feeds["slots"].astype(np.float16)}
    widened = {**halves, "slots": halves["slots"].astype(np.float32)}
    np.testing.assert_array_equal(ours.run(halves), ours.run(widened))


def test_a_batch_without_rows_runs_nothing(graphs: Mapping[str, bytes]) -> None:
    ours, runtime = with_graphs(graphs["score.onnx"])
    assert ours.run(score_feeds(0, 2, 3)).shape == (0, 2, 2)
    assert runtime.ids == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"vector": np.zeros((2, 8), np.float32)}, ValueError),
        ({"vector": np.zeros((1, 5), np.float32)}, ValueError),
        ({"member_mask": np.zeros((1, 4, 1), np.int64)}, ValueError),
        ({"member_mask": np.zeros((1, 3), np.float32)}, TypeError),
    ],
    ids=["rows", "width", "rank", "type"],
)
def test_inconsistent_feeds_are_rejected(
    graphs: Mapping[str, bytes], change: dict[str, np.ndarray], error: type[Exception]
) -> None:
    ours, _ = bound(graphs["score.onnx"])
    with pytest.raises(error):
        ours.run({**score_feeds(1, 2, 3), **change})


def test_a_graph_with_an_unnamed_axis_is_rejected() -> None:
    with pytest.raises(BundleError, match="have distinct names"):
        bound(dot_graph(candidates=None))


def test_each_bucket_runs_normally_before_its_graph_is_captured(graphs: Mapping[str, bytes]) -> None:
    ours, runtime = with_graphs(graphs["score.onnx"])
    ours.warm_up()
    num_buckets = len(BUCKETS.every())
    normal, captured = (
        runtime.ids[: RUNS_BEFORE_CAPTURE * num_buckets],
        runtime.ids[RUNS_BEFORE_CAPTURE * num_buckets :],
    )
    assert RUNS_BEFORE_CAPTURE >= 2
    assert set(normal) == {NO_GRAPH}
    assert sorted(captured) == list(range(1, num_buckets + 1))


def test_a_graph_id_has_one_shape(graphs: Mapping[str, bytes]) -> None:
    ours, runtime = with_graphs(graphs["score.onnx"])
    ours.warm_up()
    found = {}
    for size in BUCKETS.every():
        runtime.ids.clear()
        for smaller in (size, replace(size, candidates=size.candidates - 1)):
            ours.run(score_feeds(smaller.rows, smaller.candidates, smaller.tokens))
        assert len(set(runtime.ids)) == 1
        found[size] = runtime.ids[0]
    assert len(set(found.values())) == len(found)
    assert NO_GRAPH not in found.values()


def test_a_batch_with_more_tokens_than_every_bucket_runs_without_a_graph(graphs: Mapping[str, bytes]) -> None:
    ours, runtime = with_graphs(graphs["score.onnx"])
    ours.warm_up()
    runtime.ids.clear()
    ours.run(score_feeds(1, 1, 9))
    assert runtime.ids == [NO_GRAPH]


def test_a_thread_that_did_not_capture_runs_without_graphs(graphs: Mapping[str, bytes]) -> None:
    ours, runtime = with_graphs(graphs["score.onnx"])
    feeds = score_feeds(1, 2, 3)
    expected = ours.run(feeds)
    model_thread = threading.Thread(target=ours.warm_up)
    model_thread.start()
    model_thread.join()
    runtime.ids.clear()
    np.testing.assert_array_equal(ours.run(feeds), expected)
    assert runtime.ids == [NO_GRAPH]


def test_a_session_with_graphs_does_not_capture_plain_runs(graphs: Mapping[str, bytes]) -> None:
    runtime = Recording(graphs["score.onnx"])
    session = Session(runtime, "cpu", cuda_graphs=True)
    session.run(score_feeds(1, 2, 3))
    assert runtime.ids == [NO_GRAPH]


def test_without_graphs_no_run_has_a_graph_id(graphs: Mapping[str, bytes]) -> None:
    runtime = Recording(graphs["score.onnx"])
    ours = BoundSession(Session(runtime, "cpu"), BUCKETS)
    ours.warm_up()
    ours.run(score_feeds(1, 2, 3))
    assert set(runtime.ids) == {NO_GRAPH}


def test_buffers_are_made_once(graphs: Mapping[str, bytes]) -> None:
    ours, _ = bound(graphs["score.onnx"])
    ours.warm_up()
    before = ours.bytes
    for rows in (1, 2, 5):
        ours.run(score_feeds(rows, 3, 5))
    assert ours.bytes == before > 0


def test_a_cross_encoder_runs_in_the_buckets_of_its_limits() -> None:
    ours, plain = bound(graph_bytes(), BatchLimits(18, 18, pairs=8).buckets("pair"))
    ids = np.random.default_rng(0).integers(1, 90, (11, 20))
    feeds = {name: np.ones_like(ids) for name in ("attention_mask", "token_type_ids")} | {"input_ids": ids}
    np.testing.assert_allclose(ours.run(feeds), plain.run(feeds), atol=1e-6)


def test_the_shipped_gpu_student_gives_the_same_in_buckets() -> None:
    ours, plain = bound((BUNDLE / "encoder.fp16.onnx").read_bytes(), Buckets((1, 4), tokens=(16, 32)))
    ids = np.random.default_rng(0).integers(1000, 20000, (5, 12))
    ids[:, 0] = 101
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    found, expected = ours.run_all(feeds), plain.run_all(feeds)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=0.02)
