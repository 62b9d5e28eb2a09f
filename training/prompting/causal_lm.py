"""A causal language model that scores pairs by prompts: log P(member | candidate), and yes against no.

Untrained for the task, and read in bf16 on the CPU. Knows texts, not lists, policies or grades.

P pairs | T tokens of a row | V words of the vocabulary
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.errors import UserError

ROWS_AT_ONCE = 8
YES, NO = "Yes", "No"


class NoModel(UserError):
    """A folder without a language model that can be read; the message names it."""


@dataclass(frozen=True)
class Asked:
    """One prompt: what the model reads, and the text whose likelihood counts (empty: yes or no)."""

    prefix: str
    continuation: str = ""


@dataclass(frozen=True)
class Answered:
    """Scores f64[P], in order, and the tokens that were read for all of them."""

    scores: np.ndarray
    tokens: int


class CausalLm:
    """A Hugging Face folder with a causal model and its tokenizer. Raises NoModel."""

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        except (OSError, ValueError) as error:
            raise NoModel(f"{folder}: not a folder of a causal language model ({type(error).__name__})") from error
        self._model: Any = model.eval()

    def likelihoods(self, asked: Sequence[Asked]) -> Answered:
        """Sum of log P of the continuation's tokens after the prefix. Comparable where the continuation is the same."""
        rows = [(self._ids(each.prefix), self._ids(each.continuation)) for each in asked]
        scores = [score for some in _batches(rows) for score in self._likelihoods_of(some)]
        return Answered(np.array(scores), sum(len(prefix) + len(end) for prefix, end in rows))

    def yes_probabilities(self, asked: Sequence[Asked]) -> Answered:
        """P(Yes) / (P(Yes) + P(No)) as the first word of the answer to `prefix`, put as a user's message."""
        yes, no = self._ids(YES)[0], self._ids(NO)[0]
        rows: list[tuple[list[int], list[int]]] = [(self._ids(self._chat(each.prefix)), []) for each in asked]
        scores: list[float] = []
        for some in _batches(rows):
            hidden_PTD, lengths = self._hidden(some)
            last_PD = hidden_PTD[torch.arange(len(some)), torch.tensor(lengths) - 1]
            logits_PV = self._model.lm_head(last_PD).float()
            scores += torch.sigmoid(logits_PV[:, yes] - logits_PV[:, no]).tolist()
        return Answered(np.array(scores), sum(len(prefix) for prefix, _ in rows))

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of a text, at most so many tokens long."""
        return str(self._tokenizer.decode(self._ids(text)[:tokens]))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _chat(self, message: str) -> str:
        said = [{"role": "user", "content": message}]
        return str(self._tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))

    @torch.no_grad()
    def _hidden(self, rows: Sequence[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, list[int]]:
        lengths = [len(prefix) + len(end) for prefix, end in rows]
        ids_PT = torch.zeros(len(rows), max(lengths), dtype=torch.long)
        mask_PT = torch.zeros_like(ids_PT)
        for row, (prefix, end) in enumerate(rows):
            ids_PT[row, : lengths[row]] = torch.tensor(prefix + end)
            mask_PT[row, : lengths[row]] = 1
        return self._model.model(input_ids=ids_PT, attention_mask=mask_PT).last_hidden_state, lengths

    @torch.no_grad()
    def _likelihoods_of(self, rows: Sequence[tuple[list[int], list[int]]]) -> Iterator[float]:
        hidden_PTD, lengths = self._hidden(rows)
        for row, (prefix, end) in enumerate(rows):
            before_TD = hidden_PTD[row, len(prefix) - 1 : lengths[row] - 1]  # each position states the next token
            log_TV = torch.log_softmax(self._model.lm_head(before_TD).float(), dim=-1)
            yield float(log_TV[torch.arange(len(end)), torch.tensor(end)].sum())


def _batches(rows: Sequence[tuple[list[int], list[int]]]) -> Iterator[Sequence[tuple[list[int], list[int]]]]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]
