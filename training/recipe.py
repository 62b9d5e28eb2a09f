"""What a recipe is: one product's complete run of the cookbook, as values. Recipes themselves stand in `recipes/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from models.text import Template
from training.data import FieldList
from training.fit import Phases


@dataclass(frozen=True)
class HeadPlan:
    """An output of the student: what its probability means, and its share of the default blend."""

    name: str
    meaning: str
    blend: float


@dataclass(frozen=True)
class Card:
    """What the model card and the manifest must say of the data; nothing ships without it."""

    title: str
    intended_use: str
    limits: str
    data: tuple[str, ...]
    attributions: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome of a run, but for the data's folder.

    `lists(data)` yields all candidate lists of all splits; what the backbone knew of those without any gain is
    kept. `backbone(data, folder)` returns a local Hugging Face folder; it may make one in `folder`.
    `training_tokens` cuts member and candidate shorter while training (default: as served). After its first phase
    the teacher's weights are moved back towards the untouched backbone's by `backbone_share`. The teacher annotates
    `annotated_lists` of the training lists (default: all), and at most `evaluated_lists` of each source's test
    lists are judged. `floors` maps "head/source/metric" to the least that the shipped graph must reach. `examples`
    become known answers.
    """

    name: str
    version: str
    heads: tuple[HeadPlan, ...]
    template: Template
    member_tokens: int
    candidate_tokens: int
    backbone: Callable[[Path, Path], str]
    lists: Callable[[Path], Iterable[FieldList]]
    teacher: Phases
    student: Phases
    student_layers: tuple[int, ...]
    gold_anchor: float
    calibration_lists: int
    floors: dict[str, float]
    card: Card
    baselines: bool = True
    training_tokens: tuple[int, int] | None = None
    train_embeddings: bool = False
    annotated_lists: int | None = None
    evaluated_lists: int | None = None
    listwise_weight: float = 1.0
    backbone_share: float = 0.0
    seed: int = 0
    examples: tuple[tuple[dict[str, str], dict[str, str]], ...] = field(default=())

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the heads, in the order of the student's outputs."""
        return tuple(head.name for head in self.heads)
