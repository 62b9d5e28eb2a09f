"""A copy of a bundle reads long candidates in chunks; its graphs, and the bundle that it is made from, stay."""

from pathlib import Path

import pytest

from models.__main__ import main
from models.bundle.files import MANIFEST, Bundle
from models.loading import check_known_answers, graph_key, open_encoder, open_scorer
from tests.support.bundles import write_tiny_bundle
from tests.support.split_bundles import write_split_bundle

OWN = Path(__file__).parents[3] / "models" / "jobs-v1"


@pytest.mark.parametrize("write", [write_tiny_bundle, write_split_bundle])
def test_the_copy_is_a_bundle_with_the_same_graphs(
    tmp_path: Path, write: type, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "v1")
    before = (tmp_path / "v1" / MANIFEST).read_bytes()
    options = ["--version", "1-chunks", "--chunks", "4", "--discount", "0.3"]
    assert main(["chunks", str(tmp_path / "v1"), str(tmp_path / "v2"), *options]) == 0
    assert capsys.readouterr().out.endswith("tiny version 1-chunks reads candidates in up to 4 chunks\n")
    old, new = Bundle.load(tmp_path / "v1"), Bundle.load(tmp_path / "v2")
    assert (new.manifest.version, new.manifest.text.chunks, new.manifest.chunk_discount) == ("1-chunks", 4, 0.3)
    assert (
        new.manifest.model_copy(update={"version": "1", "text": old.manifest.text, "chunk_discount": 0.0})
        == old.manifest
    )
    assert new.contents == old.contents
    assert (tmp_path / "v1" / MANIFEST).read_bytes() == before
    encoder = open_encoder(new)
    assert encoder.chunks == 4
    check_known_answers(new, open_scorer(new, "cpu"), encoder, "cpu")
    graph = new.manifest.graphs[-1]
    assert graph_key(new, graph) != graph_key(old, graph)  # neither reads the slots of the other


def test_a_shipped_bundle_can_be_copied_and_its_card_says_so(tmp_path: Path) -> None:
    assert main(["chunks", str(OWN), str(tmp_path / "jobs"), "--version", "1-chunks"]) == 0
    card = (tmp_path / "jobs" / "card.md").read_text(encoding="utf-8")
    assert card.startswith((OWN / "card.md").read_text(encoding="utf-8").rstrip())
    assert "up to 8 chunks of 128 tokens" in card.split("## Long texts")[1]
    assert "up to 8 times the bytes of slots" in card


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--version", "1"], "is version 1: the copy needs a version of its own"),
        (["--version", "2", "--chunks", "1"], "--chunks must be at least 2"),
        (["--version", "2", "--chunks", "65"], "less than or equal to 64"),
        (["--version", "2", "--discount", "-1"], "greater than or equal to 0"),
        (["--version", "2", "--discount", "nan"], "chunk_discount"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(tmp_path / "v1")
    assert main(["chunks", str(tmp_path / "v1"), str(tmp_path / "v2"), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("chunks: ")
    assert said.count("\n") == 1
    assert sentence in said
    assert not (tmp_path / "v2").exists()


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_bundle(tmp_path / "v1")
    (tmp_path / "v2").mkdir()
    assert main(["chunks", str(tmp_path / "v1"), str(tmp_path / "v2"), "--version", "2"]) == 1
    assert "exists" in capsys.readouterr().err
