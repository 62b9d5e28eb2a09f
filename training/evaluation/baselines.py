"""Baselines: BM25 over words, and the cosine of a pretrained sentence encoder."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from training.data.impressions import SHOWN
from training.data.lists import CandidateList
from training.nets.cross_encoder import pool
from training.nets.inference import MULTIPLE, in_length_order
from training.trainer.precision import autocast

RIDGE_WORDS, RIDGE = 3000, 30.0
"""The most common words and pairs of words; and the penalty."""


def bm25_scores(lists: Sequence[CandidateList]) -> list[np.ndarray]:
    """BM25 (Lucene's form) of each candidate for its member. Document frequencies are those of all candidates."""
    texts = list(dict.fromkeys(text for each in lists for text in each.candidates))
    row = {text: index for index, text in enumerate(texts)}
    retriever = bm25s.BM25()
    retriever.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
    scores = []
    for each in lists:
        query = bm25s.tokenize(each.member, return_ids=False, show_progress=False)[0]
        known = [word for word in query if word in retriever.vocab_dict]
        found = retriever.get_scores(known) if known else np.zeros(len(texts))
        scores.append(np.asarray(found)[[row[text] for text in each.candidates]])
    return scores


def cosine_scores(lists: Sequence[CandidateList], backbone: str, *, max_tokens: int) -> list[np.ndarray]:
    """Cosine of mean-pooled embeddings of the pretrained backbone; texts are truncated at `max_tokens`."""
    texts = list(dict.fromkeys(text for each in lists for text in (each.member, *each.candidates)))
    vectors = dict(zip(texts, embed_texts(texts, backbone, max_tokens), strict=True))
    return [np.array([vectors[text] @ vectors[each.member] for text in each.candidates]) for each in lists]


def ridge_scores(train: Sequence[CandidateList], lists: Sequence[CandidateList], head: str) -> list[np.ndarray]:
    """Ridge regression on the words of a candidate, and their neighbours, by TF-IDF: its log rate less its list's mean.

    For logs of counts: what a plain model of the candidate alone makes of the same training lists.
    """
    texts = [text for each in train for text in each.candidates]
    counts = Counter(word for text in texts for word in set(_words(text)))
    rows = {word: row for row, (word, _) in enumerate(counts.most_common(RIDGE_WORDS))}
    weights = {word: math.log(1 + len(texts) / counts[word]) for word in rows}

    def features(some: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(some), len(rows)), dtype=np.float32)
        for row, text in enumerate(some):
            for word, count in Counter(word for word in _words(text) if word in rows).items():
                found[row, rows[word]] = (1 + math.log(count)) * weights[word]
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True).clip(1e-9))

    wanted = []
    for each in train:
        rates = np.log((np.nan_to_num(each.labels[head]) * each.labels[SHOWN] + 0.5) / (each.labels[SHOWN] + 1))
        wanted.append(rates - rates.mean())
    known = features(texts)
    target = np.concatenate(wanted).astype(np.float32)
    fitted = np.linalg.solve(known.T @ known + RIDGE * np.eye(len(rows), dtype=np.float32), known.T @ target)
    return [np.asarray(features(each.candidates) @ fitted) for each in lists]


def _words(text: str) -> list[str]:
    words = re.findall(r"[\w']+|[!?.,:\"]", text.lower())
    return words + [f"{first} {second}" for first, second in itertools.pairwise(words)]


@torch.inference_mode()
def embed_texts(texts: Sequence[str], backbone: str, max_tokens: int) -> np.ndarray:
    """Normalised mean-pooled embeddings f32[texts, D] of a pretrained backbone, in order."""
    tokenizer = AutoTokenizer.from_pretrained(Path(backbone))
    model = AutoModel.from_pretrained(Path(backbone), dtype=torch.float32).eval()
    settings = {"padding": True, "pad_to_multiple_of": MULTIPLE, "truncation": True, "max_length": max_tokens}

    def run(batch: list[str]) -> Tensor:
        inputs = tokenizer(batch, return_tensors="pt", **settings)
        with autocast(torch.device("cpu")):
            states_NTD = model(**inputs).last_hidden_state
        return pool(states_NTD, inputs["attention_mask"])

    return torch.stack(in_length_order(texts, run, size=64)).numpy()
