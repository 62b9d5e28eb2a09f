"""Step `annotate`: each teacher scores every training pair once, and the soft labels are written in shards.

A shard that exists is not scored again: a run that was cut off resumes after it. The executor decides where shards are
scored; this process alone writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tqdm import tqdm

from models.text import TextEncoder
from training.data.lists import read_pairs, some_lists
from training.data.soft_labels import SoftLabels, shard_bytes, shard_path
from training.distillation.teachers import Teacher, read_teachers
from training.executors import Executor
from training.files import write_whole
from training.nets.checkpoints import check_model_stamp
from training.nets.inference import encode_pairs, predict
from training.policy.parser import read_policy
from training.recipe import HeadNames, TextPlan
from training.step_runner import Resources, Step
from training.steps.text_encoder import text_encoder

SHARD_PAIRS = 4096


@dataclass(frozen=True)
class AnnotatePlan:
    """Which heads are labelled, and how many training lists (None: all)."""

    heads: HeadNames
    text: TextPlan
    lists: int | None
    seed: int


@dataclass(frozen=True)
class AnnotateInputs:
    policy: Path
    data: Path
    teach: Path
    teach_engagement: Path


@dataclass(frozen=True)
class Labeller:
    """Labels shards with the same bits in every process: each uses this number of threads."""

    teachers: Sequence[Teacher]
    encoder: TextEncoder
    policy: str
    """The stamp."""
    threads: int

    def open(self) -> Callable[[pl.DataFrame], bytes]:
        """Prepare this process, and return the function that labels a shard."""
        torch.set_num_threads(self.threads)
        for teacher in self.teachers:
            teacher.model.to("cuda" if torch.cuda.is_available() else "cpu")
        return self.label

    def label(self, shard: pl.DataFrame) -> bytes:
        """A shard of pairs -> its file with the soft labels of every head."""
        labels: dict[str, SoftLabels] = {}
        for teacher in self.teachers:
            encoder = teacher.model.pair_encoder(self.encoder)
            pairs = encode_pairs(encoder, shard["member"].to_list(), shard["candidate"].to_list())
            logits = predict(teacher.model, encoder, pairs)
            for index, head in enumerate(teacher.heads):
                labels[head] = _soft_labels(shard, teacher, head, logits[:, index])
        return shard_bytes(shard, labels, self.policy)


def _soft_labels(shard: pl.DataFrame, teacher: Teacher, head: str, logits: np.ndarray) -> SoftLabels:
    probability = teacher.calibrations[head].apply(logits).astype(np.float64)
    labels = SoftLabels.of_action(probability, logits)
    return replace(labels, gold=shard[head].fill_null(np.nan).to_numpy()) if head in shard.columns else labels


def annotate(plan: AnnotatePlan, inputs: AnnotateInputs, out: Path, resources: Resources) -> None:
    """Write `soft-00000.parquet` ... Raises PolicyMismatch for a teacher of another policy."""
    policy = read_policy(inputs.policy / "policy.md")
    check_model_stamp(inputs.teach, policy)
    teachers = read_teachers(plan.heads, inputs.teach, inputs.teach_engagement)
    encoder = text_encoder(plan.text, resources, plan.text.training_tokens)
    pairs = read_pairs(inputs.data / "pairs.parquet", plan.heads.graded).filter(pl.col("split") == "train")
    labeller = Labeller(teachers, encoder, policy.stamp, torch.get_num_threads())
    label_shards(some_lists(pairs, plan.lists, plan.seed), labeller, out, resources.executor)


def label_shards(pairs: pl.DataFrame, labeller: Labeller, out: Path, executor: Executor) -> None:
    """Write the missing shards. Their bytes do not depend on the executor, given one kind of processor."""
    starts = {shard_path(out, number): start for number, start in enumerate(range(0, pairs.height, SHARD_PAIRS))}
    missing = {path: start for path, start in starts.items() if not path.exists()}
    work = ((path, pairs.slice(start, SHARD_PAIRS)) for path, start in missing.items())
    labelled = executor.map(labeller.open, work)
    for path, content in tqdm(labelled, total=len(missing), desc="annotate", mininterval=5):
        write_whole(path, content)


ANNOTATE = Step(
    "annotate",
    lambda recipe: AnnotatePlan(recipe.head_names, recipe.text, recipe.student.annotated_lists, recipe.seed),
    AnnotateInputs,
    annotate,
)
