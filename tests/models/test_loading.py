"""A bundle opens as a scorer that passes its known answers, or is rejected with a sentence that names the file."""

from pathlib import Path

import pytest

from models.bundle.files import Bundle, save_bundle
from models.errors import BundleError, DeviceError
from models.features import Feature
from models.loading import check_known_answers, graphs_for, open_encoder, open_scorer
from tests.support.bundles import graph_bytes, known_answers, manifest, tokenizer_json, write_tiny_bundle
from tests.support.split_bundles import FEATURES, GRAPHS, write_split_bundle

SHIPPED = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("name", ["jobs-v1", "jobs-v2-preview", "products-v1"])
def test_a_released_bundle_still_loads_and_passes_its_known_answers(name: str) -> None:
    bundle = Bundle.load(SHIPPED / name)
    assert bundle.manifest.known_answers
    check_known_answers(bundle, open_scorer(bundle, "cpu", 1), open_encoder(bundle), "cpu")


def test_another_graph_fails_the_known_answers(tmp_path: Path) -> None:
    contents = {"tiny.onnx": graph_bytes(seed=1), "tokenizer.json": tokenizer_json().encode()}
    bundle = save_bundle(tmp_path / "b", manifest(known_answers=known_answers(seed=0)), contents)
    with pytest.raises(BundleError, match=r"tiny\.onnx does not give its known answers: off by 0\.\d+, allowed 1e-05"):
        check_known_answers(bundle, open_scorer(bundle, "cpu", 1), open_encoder(bundle), "cpu")


def test_the_right_graph_passes_the_known_answers(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "b")
    check_known_answers(bundle, open_scorer(bundle, "cpu", 1), open_encoder(bundle), "cpu")


def test_a_file_that_is_no_graph_is_rejected(tmp_path: Path) -> None:
    contents = {"tiny.onnx": b"not a graph", "tokenizer.json": tokenizer_json().encode()}
    bundle = save_bundle(tmp_path / "b", manifest(), contents)
    with pytest.raises(BundleError, match=r"tiny\.onnx: onnxruntime cannot load the graph"):
        open_scorer(bundle, "cpu", 1)


def test_cuda_without_a_gpu_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="'cuda' was requested"):
        open_scorer(write_tiny_bundle(tmp_path / "b"), "cuda", 1)


def test_other_weights_fail_the_known_answers_with_file_names(tmp_path: Path) -> None:
    right = write_split_bundle(tmp_path / "right").manifest.known_answers
    bundle = write_split_bundle(tmp_path / "wrong", seed=1)
    other = Bundle(bundle.path, bundle.manifest.model_copy(update={"known_answers": right}), bundle.contents)
    with pytest.raises(BundleError, match=r"member\.onnx.*score\.onnx do not give their known answers"):
        check_known_answers(other, open_scorer(other, "cpu", 1), open_encoder(other), "cpu")


def test_known_answers_are_of_texts_and_features(tmp_path: Path) -> None:
    bundle = write_split_bundle(tmp_path / "split", features=FEATURES)
    assert bundle.manifest.known_answers[0].features == {"price": 200}
    scorer, encoder = open_scorer(bundle, "cpu", 1), open_encoder(bundle)
    check_known_answers(bundle, scorer, encoder, "cpu")
    without = tuple(each.model_copy(update={"features": {}}) for each in bundle.manifest.known_answers)
    other = Bundle(bundle.path, bundle.manifest.model_copy(update={"known_answers": without}), bundle.contents)
    with pytest.raises(BundleError, match="do not give their known answers"):
        check_known_answers(other, scorer, encoder, "cpu")


@pytest.mark.parametrize(
    ("in_graph", "declared", "sentence"),
    [
        (FEATURES, (), "declares no features, which its score graph needs"),
        ((), FEATURES, "declares features that its score graph lacks"),
    ],
    ids=["not declared", "not in the graph"],
)
def test_the_score_graph_reads_features_if_and_only_if_the_manifest_declares_them(
    tmp_path: Path, in_graph: tuple[Feature, ...], declared: tuple[Feature, ...], sentence: str
) -> None:
    bundle = write_split_bundle(tmp_path / "split", features=in_graph)
    other = Bundle(bundle.path, bundle.manifest.model_copy(update={"features": declared}), bundle.contents)
    with pytest.raises(BundleError, match=sentence):
        open_scorer(other, "cpu", 1)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    bundle = write_split_bundle(tmp_path / "split")
    partial = Bundle(bundle.path, bundle.manifest.model_copy(update={"graphs": GRAPHS[:2]}), bundle.contents)
    with pytest.raises(BundleError, match="no score graph for device 'cpu'"):
        graphs_for(partial, "cpu")
