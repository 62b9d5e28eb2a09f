"""A tiny encoder and its words.

Training tests run on one thread: their models are tiny, and two threads on a busy machine mostly wait for each other.
"""

from __future__ import annotations

import pytest
import torch

from models.text import TextEncoder
from tests.support.tiny_encoder import WORDS
from training.nets.cross_encoder import read_tokenizer
from training.nets.tiny_backbone import write_tiny_backbone

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained encoder of two layers."""
    return write_tiny_backbone(tmp_path_factory.mktemp("backbone"), WORDS, layers=2, hidden=32)


@pytest.fixture
def encoder(backbone: str) -> TextEncoder:
    """Cuts both sides at 8 tokens."""
    return TextEncoder(read_tokenizer(backbone), 8, 8)
