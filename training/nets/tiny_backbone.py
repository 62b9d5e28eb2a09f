"""A tiny BERT and its WordPiece tokenizer, made from texts and a seed: for the demo recipe and tests only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = 1000


def write_tiny_backbone(folder: Path, texts: Iterable[str], *, layers: int = 2, hidden: int = 64, seed: int = 0) -> str:
    """Write an untrained encoder to `folder` unless there is one; returns the folder's name, a backbone.

    The same texts and seed give the same bytes.
    """
    if (folder / "config.json").exists():
        return str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(texts)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=hidden * 2,
        max_position_embeddings=128,
        initializer_range=0.2,  # at this width the usual 0.02 leaves almost no signal
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


def _tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Characters and the most frequent words. The library's trainer numbers equally frequent pieces at random."""
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)) if word
    )
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted(words, key=lambda word: (-words[word], word))
    pieces = list(dict.fromkeys([*SPECIALS, *letters, *(f"##{letter}" for letter in letters), *frequent]))
    vocabulary = {piece: number for number, piece in enumerate(pieces[:VOCABULARY])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer
