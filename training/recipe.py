"""What a recipe is: one product's complete run of the cookbook, as values. Recipes themselves stand in `recipes/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from models.template import Template
from training.data.lists import FieldList
from training.judging.golden_set import HumanGrades
from training.judging.llm_judge import JudgePlan
from training.nets.shapes import Lora, SplitShape
from training.objectives.losses import RankingTerm
from training.trainer.schedule import Phases, Schedule


@dataclass(frozen=True)
class HeadPlan:
    """An output of the student: what its probability means, and its share of the default blend."""

    name: str
    meaning: str
    blend: float


@dataclass(frozen=True)
class Sweep:
    """Shapes of the split student to compare, and how long each learns."""

    shapes: tuple[SplitShape, ...]
    schedule: Schedule


@dataclass(frozen=True, kw_only=True)
class DecoderTeacher(Phases):
    """A causal language model as the policy teacher, which learns in `pairs`; in `sides` a small encoder learns, from
    which the student starts.

    `base(data, folder)` returns a Hugging Face name or folder; it may make one in `folder`. `questions` has one for
    each head, to be answered with yes or no; `tokens` bound member and candidate, and the policy comes on top of them.
    Each process reads `lists_at_once` of its lists (default: all): as many as its memory bears.
    """

    base: Callable[[Path, Path], str]
    questions: dict[str, str]
    tokens: tuple[int, int]
    lora: Lora
    lists_at_once: int | None = None


ATTRACTION = Phases(
    sides=Schedule(steps=400, lists_per_step=64, learning_rate=3e-2, added_learning_rate=3e-2),
    pairs=Schedule(steps=30, lists_per_step=8, learning_rate=1e-5, added_learning_rate=1e-3),
)
ACTION_HEADS = Schedule(steps=200, lists_per_step=16, learning_rate=1e-3, added_learning_rate=3e-3)


@dataclass(frozen=True)
class EngagementPlan:
    """What the engagement teacher learns from a log, and how far the student follows it.

    `log(data)` yields lists of all splits as members saw them (`training.data.impressions`), labelled with
    `actions` and `position`; in lists of the test split every place must have been looked at, or the figures judge
    places too.
    `places` are told apart by the examination (None: taken for looked at); training lists must be as long. `rare`
    actions count only in lists where somebody took them. The teacher learns by `teacher`, warm from the policy
    teacher; the student's heads of actions by `student`, warm from its relevance, with `share` of the loss; students
    of the other `shares` draw the frontier. The defaults are for a pretrained encoder of MiniLM's size.
    """

    actions: tuple[str, ...]
    log: Callable[[Path], Iterable[FieldList]]
    places: int | None
    teacher: Phases = ATTRACTION
    student: Schedule = ACTION_HEADS
    share: float = 0.5
    shares: tuple[float, ...] = (0.0, 0.1, 0.25, 0.75, 0.9)
    rare: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pruned:
    """Variants of the student with narrower feed-forward parts, to be measured beside it.

    `shares` of each layer's units stay; then the narrow encoder imitates the whole one on training lists, texts cut at
    `tokens` (member, candidate; default: as served). All are measured on at most `lists` validation lists of a source.
    """

    shares: tuple[float, ...]
    schedule: Schedule
    tokens: tuple[int, int] | None = None
    lists: int | None = None

    def __post_init__(self) -> None:
        if not all(0 < share < 1 for share in self.shares):
            raise ValueError("shares of units that stay are between 0 and 1")


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

    `policy` is the policy document, `human_grades(data)` what people said under it, `judge` whom to ask besides.
    `lists(data)` yields all candidate lists of all splits; what the backbone knew of those without any gain is kept.
    `backbone(data, folder)` returns a local Hugging Face folder; it may make one in `folder`. `training_tokens` cuts
    member and candidate shorter while training (default: as served). After its first phase the small encoder's weights
    are moved back towards the untouched backbone's by `backbone_share`; it is the policy teacher too, unless `teacher`
    is a DecoderTeacher. `engagement` plans a second teacher, whose
    actions are the last of the heads; without it all heads are graded by people. Teachers annotate `annotated_lists`
    of the training lists (default: all). With `split`, a shape picked by what `sweep` finds, the student is a split
    one and learns from `student_lists` of them too; else it is a flat one of `student_layers` of the teacher's.
    `calibration_lists` of each source's validation lists set the calibration, and at most `evaluated_lists` of its
    test lists are judged, `teacher_lists` of those by the teacher too, which is slow. `ranking_term` names what makes
    the student rank as its teacher, and `ablated` the levers (`training.steps.ablate`) that are turned off in turn to
    see what each is worth. `floors` maps "head/source/metric" to the least that the shipped graph must reach.
    `audited_lists` of each source are told anew for the fairness audit. No report shows texts of `untold_sources`.
    `examples` become known answers. With `pruned`, what compression costs and earns is measured; the whole student
    ships all the same.
    """

    name: str
    version: str
    heads: tuple[HeadPlan, ...]
    policy: Path
    human_grades: Callable[[Path], HumanGrades]
    template: Template
    member_tokens: int
    candidate_tokens: int
    backbone: Callable[[Path, Path], str]
    lists: Callable[[Path], Iterable[FieldList]]
    teacher: Phases
    student: Phases
    gold_anchor: float
    calibration_lists: int
    floors: dict[str, float]
    card: Card
    judge: JudgePlan = field(default_factory=JudgePlan)
    engagement: EngagementPlan | None = None
    baselines: bool = True
    training_tokens: tuple[int, int] | None = None
    train_embeddings: bool = False
    annotated_lists: int | None = None
    ablated: tuple[str, ...] = ()
    student_layers: tuple[int, ...] = ()
    split: SplitShape | None = None
    student_lists: int | None = None
    sweep: Sweep | None = None
    evaluated_lists: int | None = None
    teacher_lists: int | None = None
    audited_lists: int = 10
    untold_sources: frozenset[str] = frozenset()
    listwise_weight: float = 1.0
    ranking_term: RankingTerm = "softmax_kl"
    backbone_share: float = 0.0
    seed: int = 0
    examples: tuple[tuple[dict[str, str], dict[str, str]], ...] = field(default=())
    pruned: Pruned | None = None

    def __post_init__(self) -> None:
        if self.head_names[len(self.policy_heads) :] != self.actions or not self.policy_heads:
            raise ValueError(f"heads {self.head_names} must be graded ones, then the actions {self.actions}")

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the heads, in the order of the student's outputs."""
        return tuple(head.name for head in self.heads)

    @property
    def actions(self) -> tuple[str, ...]:
        """Heads of the engagement teacher."""
        return self.engagement.actions if self.engagement else ()

    @property
    def policy_heads(self) -> tuple[str, ...]:
        """Heads of the policy teacher: those that people grade."""
        return tuple(name for name in self.head_names if name not in self.actions)
