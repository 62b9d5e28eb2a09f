"""Loading: a bad bundle is found before it is live, and a failed swap keeps the old model."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle.files import save_bundle
from models.bundle.manifest import KnownAnswer, Manifest
from models.errors import BundleError, DeviceError
from models.runtime.io_binding import BoundSession
from models.runtime.session import Feeds, Outputs
from models.text import Pair
from service.registry import memory
from service.registry.catalog import find_bundle, installed
from service.registry.loading import load_failure
from service.registry.memory import NotEnoughMemory, check_memory
from service.registry.operations import SplitOperations, warm_up_operation
from service.registry.swap import Load
from tests.support.bundles import flip_a_bit, graph_bytes, manifest, write_tiny_bundle
from tests.support.fakes import load_tiny, pair_operation_of
from tests.support.service import Running, Serve
from tests.support.split_bundles import write_split_bundle


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with two versions of the tiny model, whose answers differ."""
    write_tiny_bundle(tmp_path / "tiny-v1")
    write_tiny_bundle(tmp_path / "tiny-v2", seed=5, version="2")
    return tmp_path


@pytest.fixture
def running(serve: Serve, shelf: Path) -> Running:
    return serve(bundle=shelf / "tiny-v1")


def version(running: Running) -> str:
    found: str = running.score().json()["model"]["version"]
    return found


def test_a_loaded_split_model_has_a_measured_policy_for_each_operation(tmp_path: Path) -> None:
    write_split_bundle(tmp_path / "split")
    operations = load_tiny(tmp_path / "split").operations
    assert isinstance(operations, SplitOperations)
    assert operations.slots.shape == (2, 8)
    for operation in (operations.members, operations.candidates, operations.background, operations.scores):
        assert 0 < operation.batch_policy.seconds(1, 1) <= operation.batch_policy.seconds(8, 18)
    assert operations.scores.batch_policy.max_items(100) == 512 // 2 // 100  # a slot counts as a token


def test_a_split_model_with_mixed_graphs_is_rejected(tmp_path: Path) -> None:
    write_split_bundle(tmp_path / "split")
    write_split_bundle(tmp_path / "other", seed=5)
    for graph in ("member.onnx", "candidate.onnx", "score.onnx"):
        contents = {path.name: path.read_bytes() for path in (tmp_path / "split").iterdir() if path.suffix != ".sha256"}
        described = Manifest.model_validate_json(contents.pop("manifest.json"))
        mixed = {**contents, graph: (tmp_path / "other" / graph).read_bytes()}
        save_bundle(tmp_path / "mixed", described, mixed, overwrite=True)
        with pytest.raises(BundleError, match="known answers"):
            load_tiny(tmp_path / "mixed")


def test_a_loaded_model_is_warm_and_has_a_measured_policy(bundle: Path) -> None:
    model = load_tiny(bundle)
    assert model.heads == ("relevance", "apply")
    packing = pair_operation_of(model).batch_policy
    assert packing.max_items(16 + 16 + 4) >= 1
    assert 0 < packing.seconds(1, 10) <= packing.seconds(8, 35)


def test_a_model_in_fixed_shapes_gives_its_known_answers_too(bundle: Path) -> None:
    model = load_tiny(bundle, run_mode="bound")
    pair = Pair(model.encoder.member("data engineer"), model.encoder.candidates(["chef"])[0])
    np.testing.assert_allclose(
        pair_operation_of(model).run([pair] * 3), pair_operation_of(load_tiny(bundle)).run([pair] * 3), atol=1e-6
    )


def test_every_fixed_shape_has_run_before_the_model_is_live(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    run_all = BoundSession.run_all

    def noting(self: BoundSession, feeds: Feeds) -> Outputs:
        held.append(self.bytes)
        return run_all(self, feeds)

    monkeypatch.setattr(BoundSession, "run_all", noting)
    load_tiny(bundle, run_mode="bound")
    assert held[0] > 0
    assert len(set(held)) == 1  # what runs first already finds all buffers


class Warmer:
    """Records the thread of each warm-up; may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.threads: list[str] = []
        self.error = error

    def warm_up(self) -> None:
        self.threads.append(threading.current_thread().name)
        if self.error:
            raise self.error


def load_with(warmer: Warmer) -> Load:
    return lambda path: replace(load_tiny(path), warm_up=warm_up_operation(warmer.warm_up))


def test_a_warm_up_runs_on_the_model_thread_before_ready(serve: Serve) -> None:
    warmer = Warmer()
    assert serve(load=load_with(warmer)).score().status_code == 200
    assert warmer.threads == ["model"]


def test_a_model_that_cannot_be_warmed_up_never_becomes_ready(serve: Serve) -> None:
    running = serve(load=load_with(Warmer(RuntimeError("no graph"))))
    assert running.client.get("/readyz").status_code == 503
    assert ["could not be warmed up on the model thread" in each for each in running.failures] == [True]


def test_tensorrt_without_a_gpu_is_rejected_at_start(bundle: Path) -> None:
    with pytest.raises(DeviceError, match="'tensorrt' needs a GPU"):
        load_tiny(bundle, run_mode="tensorrt")


def test_models_share_token_ids_only_with_the_same_limits_and_layout(shelf: Path) -> None:
    text = manifest().text
    changed: list[dict[str, object]] = [{"candidate_tokens": 8}, {"layout": "pair"}]
    for index, change in enumerate(changed):
        write_tiny_bundle(shelf / f"other{index}", text=text.model_copy(update=change), known_answers=())
    first, same, *others = [load_tiny(path).text_key for path in sorted(shelf.iterdir(), reverse=True)]
    assert first == same
    assert len({first, *others}) == 1 + len(changed)


def test_a_model_without_its_known_answers_is_rejected(tmp_path: Path) -> None:
    wrong = (KnownAnswer(member="data", candidate="chef", probabilities=(0.5, 0.5)),)
    write_tiny_bundle(tmp_path / "wrong", known_answers=wrong)
    with pytest.raises(BundleError, match="known answers"):
        load_tiny(tmp_path / "wrong")


def test_a_graph_that_loads_and_cannot_run_is_rejected_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = graph_bytes(inputs=("something_else", "attention_mask"))
    monkeypatch.setattr("tests.support.bundles.graph_bytes", lambda **_: other.replace(b"input_ids", b"inputs_id"))
    write_tiny_bundle(tmp_path / "odd", known_answers=())
    with pytest.raises(BundleError, match=r"tiny\.onnx"):
        load_tiny(tmp_path / "odd")


def test_a_bundle_larger_than_the_memory_is_rejected_before_it_is_read(shelf: Path) -> None:
    with (shelf / "tiny-v1" / "huge.onnx").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(NotEnoughMemory, match=r"too little memory: .*tiny-v1 needs about \d+ MiB"):
        load_tiny(shelf / "tiny-v1")


def test_the_smallest_memory_limit_counts(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_available_bytes", lambda: 1 << 20)
    with pytest.raises(NotEnoughMemory, match="1 MiB are available"):
        check_memory(shelf / "tiny-v1")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (BundleError("x is missing"), "x is missing"),
        (DeviceError("no cuda"), "no cuda"),
        (MemoryError(), "b does not fit into memory"),
        (RuntimeError("secret"), "b could not be loaded: RuntimeError"),
    ],
)
def test_every_failure_is_one_sentence(error: Exception, sentence: str) -> None:
    assert load_failure(error, Path("b")) == sentence


def test_damaged_bundles_are_found_but_not_listed(shelf: Path) -> None:
    (shelf / "notes.txt").write_text("not a bundle")
    flip_a_bit(shelf / "tiny-v2" / "tiny.onnx")
    assert [manifest.version for manifest in installed(shelf)] == ["1"]
    found = find_bundle(shelf, "tiny", "2")
    assert found is not None
    assert found.path == shelf / "tiny-v2"
    assert find_bundle(shelf, "tiny", "3") is None
    assert installed(shelf / "nowhere") == []


def test_the_models_are_listed_with_the_live_one_marked(running: Running) -> None:
    listed = running.client.get("/v1/models").json()["models"]
    assert [(each["name"], each["version"], each["live"]) for each in listed] == [
        ("tiny", "1", True),
        ("tiny", "2", False),
    ]


def test_activation_swaps_and_every_response_belongs_to_its_version(running: Running) -> None:
    before = running.score().json()
    answer = running.client.post("/v1/models/2:activate")
    assert (answer.status_code, answer.json()["live"]) == (200, True)
    after = running.score().json()
    assert (before["model"]["version"], after["model"]["version"]) == ("1", "2")
    assert before["scores"] != after["scores"]
    assert 'version="2"' in running.client.get("/metrics").text
    running.client.post("/v1/models/1:activate")
    again = running.score().json()
    assert again["model"] == before["model"]
    # Which pairs share a batch, and so the last bit of a float, is up to the moment.
    assert [each["score"] for each in again["scores"]] == pytest.approx([each["score"] for each in before["scores"]])


def test_activating_the_live_version_changes_nothing(running: Running) -> None:
    assert running.client.post("/v1/models/1:activate").json()["version"] == "1"


def test_an_unknown_version_is_not_found(running: Running) -> None:
    answer = running.client.post("/v1/models/9:activate")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:fitscore:not-found")
    assert version(running) == "1"


def test_a_damaged_version_is_rejected_by_name_and_the_old_one_stays(running: Running, shelf: Path) -> None:
    flip_a_bit(shelf / "tiny-v2" / "tiny.onnx")
    answer = running.client.post("/v1/models/2:activate")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:fitscore:conflict")
    assert "tiny-v2/tiny.onnx was changed" in answer.json()["detail"]
    assert str(shelf) not in answer.text
    assert version(running) == "1"
    assert running.client.get("/readyz").status_code == 200
