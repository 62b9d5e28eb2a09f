"""The manifest: a bundle's description of itself. Unknown fields are errors. Reads no files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.bundle.reference import Reference
from models.features import Feature
from models.heads import BestChunk, Head
from models.template import Layout, Template

MAX_CHUNKS = 64


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextSpec(_Part):
    """How fields become ids: the template, the tokenizer's file, each side's limit in tokens (special tokens not
    counted), and the layout of a pair's special tokens.

    A candidate is read in at most `chunks` windows of its limit, and scored by the best of them.
    """

    tokenizer: str
    member_tokens: int
    candidate_tokens: int
    layout: Layout
    template: Template
    chunks: Annotated[int, Field(ge=1, le=MAX_CHUNKS, exclude_if=lambda chunks: chunks == 1)] = 1


Kind = Literal["cross", "split"]
Part = Literal["pair", "member", "candidate", "score"]
"""What a graph computes."""
PARTS: dict[Kind, tuple[Part, ...]] = {"cross": ("pair",), "split": ("member", "candidate", "score")}
"""The graphs that each kind of model consists of."""


class Graph(_Part):
    """One ONNX file, what it computes, and its device. `tolerance` bounds the difference of known answers in
    probability.
    """

    file: str
    part: Part = "pair"
    precision: Literal["fp32", "fp16", "int8"]
    device: Literal["cpu", "cuda"]
    tolerance: float


class KnownAnswer(_Part):
    """A pair as texts and features, and the model's probabilities at export, one for each head."""

    member: str
    candidate: str
    features: dict[str, float] = Field({}, exclude_if=lambda value: not value)
    probabilities: tuple[float, ...]


class FileEntry(_Part):
    """A file's digest (hex) and size."""

    sha256: str
    bytes: int


class Manifest(_Part):
    """A model's identity, text handling, features, heads, graphs, provenance and files.

    `chunk_discount`: see `models.heads.BestChunk`. `reference`: what live traffic is compared with, if it is known.
    """

    format: Literal[1]
    kind: Kind
    name: str
    version: str
    policy: str | None
    created: str
    licence: str
    attributions: tuple[str, ...]
    score_meaning: str
    text: TextSpec
    features: tuple[Feature, ...] = Field((), exclude_if=lambda value: not value)
    """Numbers of candidates, in the order of the score graph's input `features`."""
    heads: tuple[Head, ...]
    default_blend: dict[str, float]
    chunk_discount: Annotated[float, Field(ge=0, le=4, exclude_if=lambda discount: discount == 0)] = 0.0
    graphs: tuple[Graph, ...]
    known_answers: tuple[KnownAnswer, ...]
    training: dict[str, Any]
    figures: dict[str, Any]
    reference: Reference | None = Field(None, exclude_if=lambda value: value is None)
    files: dict[str, FileEntry]

    @property
    def best_chunk(self) -> BestChunk:
        """How a long text is scored: by the chunk that is best by the head that weighs most."""
        names = [head.name for head in self.heads]
        return BestChunk(
            max(range(len(names)), key=lambda place: self.default_blend.get(names[place], 0.0)), self.chunk_discount
        )
