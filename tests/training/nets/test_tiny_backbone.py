"""The tiny backbone of the demo and of tests is the same in every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from training.nets.tiny_backbone import write_tiny_backbone

WORDS = ["senior junior baker welder", "dough ovens steel cranes", "a senior baker"]
WRITE = "import sys; from pathlib import Path; from training.nets.tiny_backbone import write_tiny_backbone as write;"


@pytest.mark.process
def test_the_same_texts_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    """In another process too: hashes of strings differ between processes."""
    one, other = tmp_path / "one", tmp_path / "other"
    write_tiny_backbone(one, WORDS, layers=1, hidden=32)
    code = f"{WRITE} write(Path(sys.argv[1]), sys.argv[2:], layers=1, hidden=32)"
    subprocess.run([sys.executable, "-c", code, str(other), *WORDS], check=True, timeout=110, capture_output=True)
    for file in ("tokenizer.json", "config.json", "model.safetensors"):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def test_a_word_is_one_piece_and_an_unknown_one_is_read_by_letters(tmp_path: Path) -> None:
    write_tiny_backbone(tmp_path, WORDS)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.encode("Senior bakers").tokens == ["senior", "baker", "##s"]
    assert tokenizer.encode("senior 7").tokens == ["senior", "[UNK]"]
