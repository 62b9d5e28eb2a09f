"""Text to token ids. Training and serving share this code.

Knows tokens, not models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from models.template import Layout
from models.text.chunks import border_ranks, chunk_spans, without_repeats

TokenIds = NDArray[np.int32]
Inputs = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A member and a candidate as token ids, i32[length] each, with special tokens.

    Pairs of one request share the member's array, so that a scorer may compute it once. `features` are the model's
    inputs f32[features] of a candidate that has some.
    """

    member: TokenIds
    candidate: TokenIds
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Tokens that the model sees."""
        return len(self.member) + len(self.candidate)


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """How a text is read: tokens that are `read`, those that are `cut`, and how many of those read are `unknown`.

    Special tokens are not counted. An unknown token is one that the vocabulary lacks: the model learns nothing of it.
    `chunks`: so many windows hold what is read. Tokens that several of them hold count once.
    """

    read: int
    cut: int
    unknown: int
    chunks: int = 1

    @property
    def readable(self) -> bool:
        """Whether the model can read anything of the text."""
        return self.read > self.unknown


@dataclass(frozen=True, slots=True, eq=False)
class ReadText:
    """Token ids of a text, i32[tokens], with special tokens, and how the text is read.

    `further` are the ids of its second chunk and those after it.
    """

    ids: TokenIds
    counts: TokenCounts
    further: tuple[TokenIds, ...] = ()

    @property
    def chunks(self) -> tuple[TokenIds, ...]:
        """Ids of every chunk."""
        return (self.ids, *self.further)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a candidate's text that is read: at most `tokens`, and so many `chunks`, and the model's limits of
    both, at its start or its end.
    """

    tokens: int | None = None
    from_end: bool = False
    chunks: int | None = None

    @property
    def tag(self) -> bytes:
        """Bytes that tell windows apart in a cache; empty for the usual window."""
        if self == USUAL_WINDOW:
            return b""
        return b"%d%c" % (self.tokens or 0, b"<>"[self.from_end]) + (b"%d" % self.chunks if self.chunks else b"")


USUAL_WINDOW = Window()


class TextEncoder:
    """Texts to token ids, and token ids to model inputs. Immutable, so several threads may call it."""

    def __init__(
        self,
        tokenizer_json: str,
        member_tokens: int,
        candidate_tokens: int,
        *,
        layout: Layout = "texts",
        chunks: int = 1,
    ) -> None:
        """Each side is truncated by itself, special tokens not counted: a member's ids never depend on a candidate.

        A candidate is read in at most so many `chunks` of `candidate_tokens` each.
        """
        self.chunks = chunks
        self._tokenizer = _tokenizer(tokenizer_json)
        self._member_tokens, self._candidate_tokens = member_tokens, candidate_tokens
        opening = [_special(self._tokenizer, "[CLS]", "<s>")]
        self._member_opening, self._candidate_opening = opening, opening if layout == "texts" else []
        self._closing = [_special(self._tokenizer, "[SEP]", "</s>")]
        self._padding = _special(self._tokenizer, "[PAD]", "<pad>")
        self._unknown = next(filter(None, map(self._tokenizer.token_to_id, ("[UNK]", "<unk>"))), None)
        self.longest_member = member_tokens + len(self._member_opening) + len(self._closing)
        self.longest_candidate = candidate_tokens + len(self._candidate_opening) + len(self._closing)
        self.longest_pair = self.longest_member + self.longest_candidate

    def member(self, text: str) -> TokenIds:
        """Ids of a member's text within a pair, i32[tokens].

        Raises ValueError for text that is not valid Unicode.
        """
        return self.read_member(text).ids

    def candidates(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of candidates' texts within pairs, i32[tokens] each: of one window each.

        Raises ValueError for text that is not valid Unicode.
        """
        return [each.ids for each in self._read(texts, Window(self._candidate_tokens), self._candidate_opening)]

    def read_member(self, text: str) -> ReadText:
        """A member's ids and counts. Raises ValueError for text that is not valid Unicode."""
        return self._read([text], Window(self._member_tokens), self._member_opening)[0]

    def read_candidates(self, texts: Sequence[str], window: Window = USUAL_WINDOW) -> list[ReadText]:
        """Ids and counts of each candidate's text. Raises ValueError for text that is not valid Unicode."""
        if self.chunks > 1:
            whole = list(map(without_repeats, texts))
            encodings = self._encode(whole, with_places=True)
            return [self._in_chunks(*each, window) for each in zip(whole, encodings, strict=True)]
        most = self._candidate_tokens if window.tokens is None else min(self._candidate_tokens, window.tokens)
        return self._read(texts, Window(most, window.from_end), self._candidate_opening)

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

    def effective(self, window: Window) -> Window:
        """The window as it counts for this model, so that equal readings of a text have equal tags."""
        if window == USUAL_WINDOW:
            return window
        within = window.tokens is not None and window.tokens < self.chunks * self._candidate_tokens
        chunks = window.chunks if window.chunks is not None and window.chunks < self.chunks else None
        return Window(window.tokens if within else None, window.from_end, chunks)

    def _read(self, texts: Sequence[str], window: Window, opening: list[int]) -> list[ReadText]:
        return [self._windowed(each.ids, window, opening) for each in self._encode(texts, with_places=False)]

    def _encode(self, texts: Sequence[str], *, with_places: bool) -> list[Encoding]:
        encode = self._tokenizer.encode_batch if with_places else self._tokenizer.encode_batch_fast
        try:
            return encode(list(texts), add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:  # lone surrogates
            raise ValueError("a text is not valid Unicode") from error

    def _in_chunks(self, text: str, encoding: Encoding, window: Window) -> ReadText:
        """The first chunks of a candidate's text, or the last ones."""
        ids, ranks = encoding.ids, border_ranks(text, [start for start, _ in encoding.offsets])
        most = len(ids) if window.tokens is None else window.tokens
        skipped = max(0, len(ids) - most) if window.from_end else 0
        part = ids[skipped : skipped + most]
        opening, spans = chunk_spans(ranks[skipped : skipped + len(part) + 1], self._candidate_tokens)
        num = min(self.chunks, window.chunks or self.chunks)
        kept = spans[-num:] if window.from_end else spans[:num]
        arrays = [self._chunk([*part[:opening] * (start > 0), *part[start:end]]) for start, end in kept]
        read = part[kept[0][0] : kept[-1][1]]
        unknown = 0 if self._unknown is None else read.count(self._unknown)
        counts = TokenCounts(len(read), len(ids) - len(read), unknown, len(kept))
        return ReadText(arrays[0], counts, tuple(arrays[1:]))

    def _chunk(self, ids: list[int]) -> TokenIds:
        return np.array([*self._candidate_opening, *ids, *self._closing], dtype=np.int32)

    def _windowed(self, ids: list[int], window: Window, opening: list[int]) -> ReadText:
        cut = max(0, len(ids) - (window.tokens or 0))
        kept = ids[cut:] if window.from_end else ids[: len(ids) - cut]
        unknown = 0 if self._unknown is None else kept.count(self._unknown)
        array = np.array([*opening, *kept, *self._closing], dtype=np.int32)
        return ReadText(array, TokenCounts(len(kept), cut, unknown))


def _tokenizer(tokenizer_json: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # A literal "[SEP]" in a job's text must not become a separator.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _special(tokenizer: Tokenizer, *names: str) -> int:
    """The id of the first name that is a special token; a vocabulary may also hold such a name as a word."""
    special = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    for name in names:
        if name in special:
            return special[name]
    raise ValueError(f"the tokenizer has none of the special tokens {', '.join(names)}")
