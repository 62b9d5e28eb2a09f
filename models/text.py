"""Text to token ids. Training and serving share this code.

Knows tokens, not models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.template import Layout

TokenIds = NDArray[np.int32]
Inputs = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A member and a candidate as token ids, i32[length] each, with special tokens.

    Pairs of one request share the member's array, so that a scorer may compute it once.
    """

    member: TokenIds
    candidate: TokenIds

    def __len__(self) -> int:
        """Tokens that the model sees."""
        return len(self.member) + len(self.candidate)


class TextEncoder:
    """Texts to token ids, and token ids to model inputs. Immutable, so several threads may call it."""

    def __init__(
        self, tokenizer_json: str, member_tokens: int, candidate_tokens: int, *, layout: Layout = "texts"
    ) -> None:
        """Each side is truncated by itself, special tokens not counted: a member's ids never depend on a candidate."""
        self._member = _tokenizer(tokenizer_json, member_tokens)
        self._candidate = _tokenizer(tokenizer_json, candidate_tokens)
        opening = [_special(self._member, "[CLS]", "<s>")]
        self._member_opening, self._candidate_opening = opening, opening if layout == "texts" else []
        self._closing = [_special(self._member, "[SEP]", "</s>")]
        self._padding = _special(self._member, "[PAD]", "<pad>")
        self.longest_member = member_tokens + len(self._member_opening) + len(self._closing)
        self.longest_candidate = candidate_tokens + len(self._candidate_opening) + len(self._closing)
        self.longest_pair = self.longest_member + self.longest_candidate

    def member(self, text: str) -> TokenIds:
        """Ids of a member's text within a pair, i32[tokens].

        Raises ValueError for text that is not valid Unicode.
        """
        return self._ids(self._member, [text], self._member_opening)[0]

    def candidates(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of candidates' texts within pairs, i32[tokens] each.

        Raises ValueError for text that is not valid Unicode.
        """
        return self._ids(self._candidate, texts, self._candidate_opening)

    def collate(self, pairs: Sequence[Pair]) -> Inputs:
        """Model inputs `input_ids`, `attention_mask`, `token_type_ids`: i64[pairs, longest], padded on the right."""
        inputs = self.collate_sides([np.concatenate([pair.member, pair.candidate]) for pair in pairs])
        token_type_ids = np.zeros_like(inputs["input_ids"])
        for row, pair in enumerate(pairs):
            token_type_ids[row, len(pair.member) : len(pair)] = 1
        return {**inputs, "token_type_ids": token_type_ids}

    def collate_sides(self, sides: Sequence[TokenIds]) -> Inputs:
        """Members alone or candidates alone: `input_ids`, `attention_mask`, i64[sides, longest]."""
        shape = (len(sides), max(map(len, sides)))
        input_ids = np.full(shape, self._padding, dtype=np.int64)
        attention_mask = np.zeros(shape, dtype=np.int64)
        for row, ids in enumerate(sides):
            input_ids[row, : len(ids)] = ids
            attention_mask[row, : len(ids)] = 1
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def _ids(self, tokenizer: Tokenizer, texts: Sequence[str], opening: list[int]) -> list[TokenIds]:
        try:
            encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:  # lone surrogates
            raise ValueError("a text is not valid Unicode") from error
        return [np.array([*opening, *encoding.ids, *self._closing], dtype=np.int32) for encoding in encodings]


def _tokenizer(tokenizer_json: str, max_tokens: int) -> Tokenizer:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    # A literal "[SEP]" in a job's text must not become a separator.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _special(tokenizer: Tokenizer, *names: str) -> int:
    for name in names:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    raise ValueError(f"the tokenizer has none of the special tokens {', '.join(names)}")
