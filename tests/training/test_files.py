"""Files are complete or absent, and a digest follows each byte and each name."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.files import complete, digest, read_json, write_json, write_whole


def test_a_file_that_was_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_whole(path, b"old")
    with pytest.raises(TypeError), complete(path) as partial:
        partial.write_bytes(None)  # type: ignore[arg-type]  # opens the file, then fails
    assert path.read_bytes() == b"old"


def test_a_folder_is_renamed_when_it_is_complete(tmp_path: Path) -> None:
    with complete(tmp_path / "model") as partial:
        partial.mkdir()
        (partial / "weights").write_bytes(b"1")
        assert not (tmp_path / "model").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_json_is_read_back_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "some.json", {"a": [1, None]})
    assert read_json(tmp_path / "some.json") == {"a": [1, None]}
    assert (tmp_path / "some.json").read_text().endswith("}\n")


def test_a_digest_changes_with_a_byte_a_name_and_a_new_file(tmp_path: Path) -> None:
    folder = tmp_path / "some"
    found = [digest(folder)]
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"1")
    found.append(digest(folder))
    (folder / "a.csv").write_bytes(b"2")
    found.append(digest(folder))
    (folder / "a.csv").rename(folder / "b.csv")
    found.append(digest(folder))
    (folder / "c.csv").touch()
    found.append(digest(folder))
    assert len(set(found)) == 5
    assert found[0] == "absent"
    assert digest(folder / "b.csv") != digest(folder)
