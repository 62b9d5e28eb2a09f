"""What a recipe is: one product's complete run of all steps, as values. The recipes themselves are in `recipes/`.

A recipe has parts, and each step is given the parts that it uses and no others (`training.dag`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from models.features import Feature
from models.template import Fields, Template
from training.data.held_out import HeldOutSet
from training.data.lists import FieldList, Split
from training.data.pool import PoolPlan
from training.data.soft_labels import SoftColumns
from training.data.source_files import SourceFiles
from training.judging.golden_set import HumanGrades
from training.judging.llm_judge import JudgePlan
from training.nets.shapes import Lora, SplitShape
from training.policy.policy import RELEVANCE
from training.trainer.schedule import Phases, Schedule

if TYPE_CHECKING:  # it imports torch
    from training.objectives.losses import RankingTerm

Lists = Callable[[SourceFiles], Iterable[FieldList]]
"""An adapter: yields the candidate lists of all splits."""
FindModel = Callable[[SourceFiles, Path], str]
"""Returns a Hugging Face folder or name; it may make a model in the folder that it is given."""
Lever = Literal["ranking term", "gold anchor", "soft labels", "calibrated labels", "warm start", "engagement teacher"]
"""What an ablation can turn off in distillation."""
ItemLever = Literal[
    "constructed lists", "soft labels", "cumulative logits", "slots of items", "small cosine", "upper layers"
]
"""What an ablation can turn off in a student with slots of items: it then learns without constructed lists; without
soft labels; with one logit for the mean grade; from pools alone; from the whole cosine; with its encoder frozen.
"""


@dataclass(frozen=True)
class HeadPlan:
    """An output of the student."""

    name: str
    meaning: str
    """What its probability means, in a sentence."""
    blend: float
    """Its weight in the default score."""
    answerable: bool = False
    """Whether a pair's texts may leave it open: the student then says whether they do."""


@dataclass(frozen=True)
class HeadNames:
    """Names of the student's outputs, in order: those that people grade, then the actions of an engagement log."""

    graded: tuple[str, ...]
    actions: tuple[str, ...] = ()
    answerable: tuple[str, ...] = ()
    """Those that a pair's texts may leave open."""

    @property
    def all(self) -> tuple[str, ...]:
        """Graded heads, then actions."""
        return (*self.graded, *self.actions)

    @property
    def gains(self) -> tuple[str, ...]:
        """Heads whose gains order the lists of step `data`: graded ones, or the actions where none is graded."""
        return self.graded or self.actions

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a student with slots of items puts out: all heads, then whether each open one can be answered."""
        return (*self.all, *(SoftColumns.of(head).answerable for head in self.answerable))


@dataclass(frozen=True, kw_only=True)
class TextPlan:
    """How members and candidates become texts, and texts become token ids and vectors."""

    template: Template
    """Renders the fields of a member and of a candidate."""
    member_tokens: int
    candidate_tokens: int
    backbone: FindModel
    """The pretrained encoder that every small model starts from."""
    training_tokens: tuple[int, int] | None = None
    """Shorter limits (member, candidate) during training; None: as served."""


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """Where grades and candidate lists come from."""

    policy: Path
    """The policy document."""
    human_grades: Callable[[SourceFiles], HumanGrades]
    """What people graded under the policy."""
    lists: Lists
    """All candidate lists. Training lists without any gain keep what the backbone knows of their texts."""
    judged: Lists | None = None
    """Lists with a gain for relevance and each dimension, and whether each can be answered
    (`training.sources.judged.graded_field_list`): what the policy teacher learns. None: it learns from `lists`.
    """
    constructed: Lists | None = None
    """Training lists of the same form, whose grades follow from how they were made: the teacher begins with them."""
    second_opinion: Lists | None = None
    """Pairs of `judged`, graded a second time: how far the judge agrees with itself is the teacher's ceiling."""
    judge: JudgePlan = field(default_factory=JudgePlan)
    """Which large model grades golden pairs too, for comparison."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What training of the teachers and of the student share."""

    calibration_lists: int
    """Validation lists of each source that calibrate a model."""
    train_embeddings: bool = False
    """Whether the backbone's token embeddings are trained."""
    listwise_weight: float = 1.0
    """Weight of the listwise (ranking) term beside the pointwise one."""


@dataclass(frozen=True, kw_only=True)
class StartPlan:
    """How the small encoder learns that students and the engagement teacher start from: with both sides apart."""

    schedule: Schedule
    backbone_share: float = 0.0
    """Afterwards, how far its weights move back towards the untouched backbone's."""


@dataclass(frozen=True, kw_only=True)
class DecoderPlan:
    """A causal language model as the policy teacher."""

    base: FindModel
    lora: Lora
    lists_at_once: int | None = None
    """Lists that each process reads at once, as many as its memory holds; None: all of its share."""


@dataclass(frozen=True, kw_only=True)
class TeacherPlan:
    """What the policy teacher is, and how it learns from graded lists."""

    schedule: Schedule
    """While both texts are read together, or for a decoder."""
    apart: Schedule | None = None
    """Before that, while nothing crosses and the backbone is frozen: what it makes of a text is kept, so a step costs
    little.
    """
    slots: tuple[int, int] = (16, 256)
    """Items of a candidate with a slot of their own, and the numbers of one."""
    tokens: tuple[int, int] = (128, 128)
    """Limits of member and candidate."""
    backbones: tuple[FindModel | None, ...] = (None,)
    """The pretrained encoders that read the texts, one member of the teacher each; None: the one of step `start`."""
    decoder: DecoderPlan | None = None
    """A language model in its place."""
    seeds: int = 1
    """Members trained from each backbone; what they say together is the mean."""
    constructed_steps: int = 0
    """First steps, on constructed lists alone."""
    constructed_share: float = 0.3
    """Later, the chance of a step on constructed lists."""
    validated_every: int = 100
    """Steps between measures on validation lists; the best weights are kept."""
    validation_lists: int | None = None
    """At most so many lists of each source measure; None: all."""
    patience: int = 5
    """Measures in a row without a new best that end the training."""
    weights: Mapping[str, float] = field(default_factory=lambda: {RELEVANCE: 3.0})
    """Weights of heads in the loss; 1 where none is given."""
    answerable_weight: float = 0.3
    pairs_weight: float = 0.5
    """Weight of pairs of one list in order, of each head."""
    listwise_weight: float = 0.3
    pool: PoolPlan | None = None
    """More pairs of the training texts that it labels for students; None: only those of the lists."""
    trained: Path | None = None
    """A folder that `teach` wrote, to take instead of training."""

    def __post_init__(self) -> None:
        if self.decoder and self.seeds > 1:
            raise ValueError("an ensemble is one of encoders: a decoder has one seed")


CLICK_MODEL = Phases(
    sides=Schedule(steps=400, lists_per_step=64, learning_rate=3e-2, added_learning_rate=3e-2),
    pairs=Schedule(steps=30, lists_per_step=8, learning_rate=1e-5, added_learning_rate=1e-3),
)
ACTION_HEADS = Schedule(steps=200, lists_per_step=16, learning_rate=1e-3, added_learning_rate=3e-3)


@dataclass(frozen=True, kw_only=True)
class ClickModelPlan:
    """How the engagement teacher learns from a log. The defaults suit a pretrained encoder of MiniLM's size."""

    places: int | None
    """Places that the examination model tells apart, as many as training lists have; None: all count as examined."""
    rare: tuple[str, ...] = ()
    """Actions that count only in lists where a member took them."""
    listwise_weight: float = 0.0
    """Weight of the term for which candidate of a list got its actions. For lists in which all count as examined."""
    appeal: bool = False
    """Whether it learns too what draws every member to a candidate. Only a student with slots of items can follow."""
    phases: Phases = CLICK_MODEL
    """Warm from the encoder of step `start`."""


@dataclass(frozen=True, kw_only=True)
class ActionHeadsPlan:
    """How far the student follows the engagement teacher."""

    schedule: Schedule = ACTION_HEADS
    """Training of the heads of actions, warm from the student's relevance."""
    share: float = 0.5
    """The engagement teacher's share of the loss."""
    shares: tuple[float, ...] = (0.0, 0.1, 0.25, 0.75, 0.9)
    """Other shares, whose students show the trade-off of relevance and engagement."""


@dataclass(frozen=True, kw_only=True)
class EngagementPlan:
    """A second teacher, which learns actions from an engagement log."""

    actions: tuple[str, ...]
    """The last of the recipe's heads."""
    log: Lists
    """Lists as members saw them (`training.data.impressions`), labelled with `actions` and `position`. In the test
    split every place must have been examined, or the figures judge places too.
    """
    teacher: ClickModelPlan
    student: ActionHeadsPlan = field(default_factory=ActionHeadsPlan)


@dataclass(frozen=True, kw_only=True)
class StudentPlan:
    """What the student is, and how it learns from soft labels."""

    phases: Phases
    """For slots of items: first with the encoder frozen, then with its last layers."""
    gold_anchor: float
    """Weight of the gold grades beside the teachers' soft labels."""
    trained_layers: int = 3
    """How many of the encoder's last layers learn; for slots of items."""
    further_share: float = 0.5
    """Chance of a step on further lists, constructed or with soft labels alone; for slots of items."""
    output_weights: Mapping[str, float] = field(default_factory=dict)
    """Weights of outputs in the loss, 1 where none is given; for slots of items."""
    layers: tuple[int, ...] = ()
    """Layers of the teacher that a flat student keeps."""
    split: SplitShape | None = None
    """The shape of a split student, picked by what `sweep` finds; None: the student is flat."""
    lists: int | None = None
    """Constructed lists that it learns from, for slots of items; None: all."""
    annotated_lists: int | None = None
    """Training lists that the teachers label; None: all."""
    soft_listwise: float = 0.0
    """Weight of the order that soft labels give a list; for slots of items."""
    ranking_term: RankingTerm = "softmax_kl"
    """What makes the student rank as its teacher."""

    @property
    def has_items(self) -> bool:
        """Whether a candidate's state has slots of items."""
        return self.split is not None and self.split.has_items


@dataclass(frozen=True)
class Sweep:
    """Shapes of the split student to compare, and how long each learns."""

    shapes: tuple[SplitShape, ...]
    schedule: Schedule
    trained_layers: int = 3
    """How many of the encoder's last layers learn with each shape."""


@dataclass(frozen=True, kw_only=True)
class ItemAblation:
    """Short trainings that say what each lever of a student with slots of items is worth; counts are of lists."""

    phases: Phases
    judged: int | None = None
    constructed: int | None = None
    annotated: int | None = None
    levers: tuple[ItemLever, ...] = get_args(ItemLever)


@dataclass(frozen=True)
class PruningPlan:
    """Variants of the student with narrower feed-forward parts, measured beside it. The whole student ships."""

    shares: tuple[float, ...]
    """The share of each layer's units that a variant keeps."""
    schedule: Schedule
    """Training in which the narrow encoder imitates the whole one."""
    tokens: tuple[int, int] | None = None
    """Limits (member, candidate) during that training; None: as served."""
    lists: int | None = None
    """Maximum of validation lists of a source that measure each variant; None: all."""

    def __post_init__(self) -> None:
        if not all(0 < share < 1 for share in self.shares):
            raise ValueError("the shares of units that a variant keeps are between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """On what the student is judged, and what it must reach."""

    floors: dict[str, float]
    """The least that the shipped graph must reach, by "head/source/metric"."""
    baselines: bool = True
    """Whether BM25 and the untouched backbone are judged too."""
    lists: int | None = None
    """Maximum of test lists of each source; None: all."""
    teacher_lists: int | None = None
    """Maximum of those for the teachers, which are slow; None: all."""
    audited_lists: int = 10
    """Lists of each source whose texts are changed for the fairness audit; 0: no audit."""
    private_sources: frozenset[str] = frozenset()
    """Sources whose texts appear in no report."""


@dataclass(frozen=True)
class Target:
    """A figure that a product asks of a kind of system ("teacher", "student"), and what it aims at."""

    title: str
    system: str
    set: str
    part: str
    measure: str
    asked: float
    goal: float | None = None


@dataclass(frozen=True, kw_only=True)
class DecisionPlan:
    """The held-out sets on which systems are compared, and what the student must reach there to ship."""

    sets: Callable[[SourceFiles, Split], Iterable[HeldOutSet]]
    """The sets of a split whose sources are there."""
    main: str
    """The set on which the student must be above what is live."""
    above: tuple[str, ...]
    """Systems that the student must be above on the main set too."""
    not_worse: tuple[str, ...]
    """Sets on which the student may not be worse than what is live."""
    calibrated_on: str
    """The set on which stated probabilities must hold."""
    targets: tuple[Target, ...] = ()
    margin: float = 0.02
    """What "not worse" may cost in NDCG@10."""
    largest_ece: float = 0.05
    fold: Callable[[Fields], int] | None = None
    """The fold of a member whose lists cross-fitted models share; None: no model is cross-fitted."""


@dataclass(frozen=True)
class Card:
    """What the model card and the manifest state about use and data. Nothing ships without it."""

    title: str
    intended_use: str
    limits: str
    data: tuple[str, ...]
    attributions: tuple[str, ...]
    licence: str


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What the bundle holds besides the student."""

    card: Card
    examples: tuple[tuple[dict[str, str], dict[str, str]], ...] = ()
    """Fields of a member and a candidate each; their probabilities become the bundle's known answers."""
    gpu_graph: bool = True
    """Whether it holds fp16 graphs for GPUs, from which further trainings can start; without, the int8 graphs serve
    every device, and the bundle is a third of the size.
    """


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the outcome of a run, except the source data."""

    name: str
    version: str
    heads: tuple[HeadPlan, ...]
    """The student's outputs, graded heads first. There is no policy teacher where all of them are actions."""
    text: TextPlan
    data: DataPlan
    training: TrainingPlan
    start: StartPlan
    teacher: TeacherPlan
    student: StudentPlan
    evaluation: EvaluationPlan
    export: ExportPlan
    engagement: EngagementPlan | None = None
    """None: people grade all heads."""
    sweep: Sweep | None = None
    """None: step `frontier` compares nothing."""
    ablated: tuple[Lever, ...] = ()
    """Levers that step `ablate` turns off in turn."""
    item_ablation: ItemAblation | None = None
    """The same for a student with slots of items."""
    pruning: PruningPlan | None = None
    """None: step `compress` measures no variants."""
    decision: DecisionPlan | None = None
    """None: the recipe has no held-out sets besides the test split of its lists."""
    features: tuple[Feature, ...] = ()
    """Numbers of candidates beside their texts, which `lists` and the log have too; for a split student."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.head_names.all != tuple(head.name for head in self.heads) or not self.heads:
            names = tuple(head.name for head in self.heads)
            raise ValueError(f"heads {names} must be graded ones, then the actions {self.head_names.actions}")
        if self.features and not self.student.split:
            raise ValueError("features need a split student: a cross-encoder reads texts alone")
        if not self.head_names.graded and not self.student.has_items:
            raise ValueError("without graded heads, only a student with slots of items learns")

    @property
    def start_heads(self) -> tuple[str, ...]:
        """What the small encoder learns to rank by. A student with slots of items learns the other heads itself."""
        gains = self.head_names.gains
        return gains[:1] if self.student.has_items else gains

    @property
    def head_names(self) -> HeadNames:
        actions = self.engagement.actions if self.engagement else ()
        graded = tuple(head.name for head in self.heads if head.name not in actions)
        return HeadNames(graded, actions, tuple(head.name for head in self.heads if head.answerable))
