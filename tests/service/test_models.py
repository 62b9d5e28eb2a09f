"""Models: what is wrong with a bundle is found before it is live, and a swap keeps the old one when anything fails."""

from pathlib import Path

import pytest

from models.bundle import KnownAnswer
from models.errors import BundleError, DeviceError
from service import models as ready
from service.models import NotEnoughMemory, check_memory, find_bundle, installed, why
from tests.bundles import graph_bytes, manifest, write_tiny_bundle
from tests.fakes import load_tiny
from tests.service.conftest import Running, Serve


def flip_a_bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


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


def test_a_loaded_model_is_warm_and_knows_its_cost(bundle: Path) -> None:
    model = load_tiny(bundle)
    assert model.heads == ("relevance", "apply")
    assert model.cost.lengths[-1] == 16 + 16 + 4
    assert 0 < model.cost.seconds(1, 10) <= model.cost.seconds(8, 35)


def test_models_share_ids_only_where_they_cut_and_lay_out_texts_alike(shelf: Path) -> None:
    text = manifest().text
    changed: list[dict[str, object]] = [{"candidate_tokens": 8}, {"layout": "pair"}]
    for index, change in enumerate(changed):
        write_tiny_bundle(shelf / f"other{index}", text=text.model_copy(update=change), known_answers=())
    first, same, *others = [load_tiny(path).text_key for path in sorted(shelf.iterdir(), reverse=True)]
    assert first == same
    assert len({first, *others}) == 1 + len(changed)


def test_a_model_that_does_not_give_its_known_answers_is_refused(tmp_path: Path) -> None:
    wrong = (KnownAnswer(member="data", candidate="chef", probabilities=(0.5, 0.5)),)
    write_tiny_bundle(tmp_path / "wrong", known_answers=wrong)
    with pytest.raises(BundleError, match="known answers"):
        load_tiny(tmp_path / "wrong")


def test_a_graph_that_loads_and_cannot_be_run_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = graph_bytes(inputs=("something_else", "attention_mask"))
    monkeypatch.setattr("tests.bundles.graph_bytes", lambda **_: other.replace(b"input_ids", b"inputs_id"))
    write_tiny_bundle(tmp_path / "odd", known_answers=())
    with pytest.raises(BundleError, match=r"tiny\.onnx"):
        load_tiny(tmp_path / "odd")


def test_a_bundle_larger_than_the_memory_is_refused_before_it_is_read(shelf: Path) -> None:
    with (shelf / "tiny-v1" / "huge.onnx").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(NotEnoughMemory, match=r"too little memory: .*tiny-v1 needs about \d+ MiB"):
        load_tiny(shelf / "tiny-v1")


def test_the_least_limit_counts(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "_available_bytes", lambda: 1 << 20)
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
    assert why(error, Path("b")) == sentence


def test_damaged_bundles_are_not_listed_and_yet_found(shelf: Path) -> None:
    (shelf / "notes.txt").write_text("not a bundle")
    flip_a_bit(shelf / "tiny-v2" / "tiny.onnx")
    assert [manifest.version for manifest in installed(shelf)] == ["1"]
    assert find_bundle(shelf, "tiny", "2") == shelf / "tiny-v2"
    assert find_bundle(shelf, "tiny", "3") is None
    assert installed(shelf / "nowhere") == []


def test_the_models_are_listed_with_the_live_one_marked(running: Running) -> None:
    listed = running.client.get("/v1/models").json()["models"]
    assert [(each["name"], each["version"], each["live"]) for each in listed] == [
        ("tiny", "1", True),
        ("tiny", "2", False),
    ]


def test_activation_swaps_and_every_answer_belongs_to_its_version(running: Running) -> None:
    before = running.score().json()
    answer = running.client.post("/v1/models/2:activate")
    assert (answer.status_code, answer.json()["live"]) == (200, True)
    after = running.score().json()
    assert (before["model"]["version"], after["model"]["version"]) == ("1", "2")
    assert before["scores"] != after["scores"]
    assert 'version="2"' in running.client.get("/metrics").text
    running.client.post("/v1/models/1:activate")
    assert running.score().json() == before


def test_activating_the_live_version_changes_nothing(running: Running) -> None:
    assert running.client.post("/v1/models/1:activate").json()["version"] == "1"


def test_an_unknown_version_is_not_found(running: Running) -> None:
    answer = running.client.post("/v1/models/9:activate")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:fitscore:not-found")
    assert version(running) == "1"


def test_a_damaged_version_is_refused_by_name_and_the_old_one_stays(running: Running, shelf: Path) -> None:
    flip_a_bit(shelf / "tiny-v2" / "tiny.onnx")
    answer = running.client.post("/v1/models/2:activate")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:fitscore:conflict")
    assert "tiny-v2/tiny.onnx was changed" in answer.json()["detail"]
    assert str(shelf) not in answer.text
    assert version(running) == "1"
    assert running.client.get("/readyz").status_code == 200
