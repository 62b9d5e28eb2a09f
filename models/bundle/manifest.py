"""The manifest: a bundle's description of itself. Unknown fields are errors. Reads no files."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.features import Feature
from models.heads import Head
from models.template import Layout, Template


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextSpec(_Part):
    """How fields become ids: the template, the tokenizer's file, each side's limit in tokens (special tokens not
    counted), and the layout of a pair's special tokens.
    """

    tokenizer: str
    member_tokens: int
    candidate_tokens: int
    layout: Layout
    template: Template


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
    """A model's identity, text handling, features, heads, graphs, provenance and files."""

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
    graphs: tuple[Graph, ...]
    known_answers: tuple[KnownAnswer, ...]
    training: dict[str, Any]
    figures: dict[str, Any]
    files: dict[str, FileEntry]
