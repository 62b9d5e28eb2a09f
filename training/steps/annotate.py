"""Step `annotate`: each teacher scores every pair once, and the soft labels are written in shards.

Pairs are those of training lists, and more of the same texts (`training.data.pool`). What a teacher puts out is kept in
a store outside the step, by its weights: no pair is scored twice by the same teacher, and a run that was cut off
resumes. The executor decides where pairs are scored; this process alone writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tqdm import tqdm

from models.bulk.executors import Executor
from models.text import TextEncoder
from training.data.label_store import LabelStore, label_bytes
from training.data.lists import KEYS, read_pairs, some_lists
from training.data.pool import PoolPlan, draw_pool
from training.data.soft_labels import SoftLabels, shard_bytes, shard_path
from training.data.tables import read_table
from training.distillation.teachers import Teacher, read_teachers
from training.files import write_whole
from training.nets.checkpoints import check_model_stamp, load_policy_teacher, weights_digest
from training.nets.inference import encode_pairs, predict
from training.policy.parser import read_policy
from training.recipe import HeadNames, Recipe, TextPlan
from training.step_runner import Resources, Run, Step, StepError
from training.steps.start import text_encoder

SHARD_PAIRS = 512
"""Pairs that are scored and kept together: a killed run loses no more."""
WRITTEN_PAIRS = 8192


@dataclass(frozen=True)
class AnnotatePlan:
    """Which heads are labelled, how many training lists of the adapters (None: all), and the pool."""

    heads: HeadNames
    text: TextPlan
    lists: int | None
    pool: PoolPlan | None
    seed: int


@dataclass(frozen=True)
class AnnotateInputs:
    policy: Path
    data: Path
    teach: Path
    teach_engagement: Path


@dataclass(frozen=True)
class Labeller:
    """Labels pairs with the same bits in every process: each uses this number of threads."""

    teacher: Teacher
    encoder: TextEncoder
    threads: int

    def open(self) -> Callable[[pl.DataFrame], bytes]:
        """Prepare this process, and return the function that labels some pairs."""
        torch.set_num_threads(self.threads)
        self.teacher.model.to("cuda" if torch.cuda.is_available() else "cpu")
        return self.label

    def label(self, pairs: pl.DataFrame) -> bytes:
        """Pairs -> a file of the store with the model's outputs."""
        encoder = self.teacher.model.pair_encoder(self.encoder)
        encoded = encode_pairs(encoder, pairs["member"].to_list(), pairs["candidate"].to_list())
        return label_bytes(pairs, self.teacher.columns, predict(self.teacher.model, encoder, encoded))


def annotate(plan: AnnotatePlan, inputs: AnnotateInputs, out: Path, resources: Resources) -> None:
    """Write `soft-00000.parquet` ... Raises PolicyMismatch for a teacher of another policy."""
    policy = read_policy(inputs.policy / "policy.md")
    check_model_stamp(inputs.teach, policy)
    pairs = pairs_to_label(plan, inputs.data)
    labels: dict[str, SoftLabels] = {}
    known = set(pairs.columns) - set(KEYS)
    for teacher in read_teachers(plan.heads.actions, inputs.teach, inputs.teach_engagement):
        labeller = Labeller(teacher, text_encoder(plan.text, resources, plan.text.training_tokens), _threads())
        store = open_store(teacher, resources.shared / "soft_labels")
        label_pairs(pairs, labeller, store, resources.executor)
        gold = {head: pairs[head].fill_null(np.nan).to_numpy() for head in teacher.heads if head in known}
        labels |= teacher.soft_labels(store.outputs(pairs), gold)
    for number, start in enumerate(range(0, pairs.height, WRITTEN_PAIRS)):
        rows = slice(start, start + WRITTEN_PAIRS)
        part = {head: each.rows(rows) for head, each in labels.items()}
        write_whole(shard_path(out, number), shard_bytes(pairs[rows], part, policy.stamp))


def pairs_to_label(plan: AnnotatePlan, data: Path) -> pl.DataFrame:
    """Pairs of the judge's lists, of the pool, and of the adapters' lists, list by list, with the gains that are known.

    The pool is drawn from lists with a gain: others are texts of something else, kept for the sake of the backbone.
    """
    is_train = pl.col("split") == "train"
    pairs, judged = read_pairs(data / "pairs.parquet", plan.heads.graded), read_table(data / "judged.parquet")
    found = [judged.filter(is_train)]
    if plan.pool:
        is_graded = pl.any_horizontal(pl.col(plan.heads.graded).is_not_null().any().over("list_id"))
        found.append(draw_pool(pl.concat([judged, pairs.filter(is_graded)], how="diagonal"), plan.pool, plan.seed))
    listed = pairs.filter(is_train).join(judged, on="list_id", how="anti", maintain_order="left")
    found.append(some_lists(listed, plan.lists, plan.seed))
    return pl.concat(found, how="diagonal")


def open_store(teacher: Teacher, folder: Path) -> LabelStore:
    """The labels of this teacher, in a folder of its weights inside `folder`."""
    digest = weights_digest(teacher.model)
    return LabelStore(folder / digest[:16], digest, teacher.columns)


def label_pairs(pairs: pl.DataFrame, labeller: Labeller, store: LabelStore, executor: Executor) -> int:
    """Label the pairs that the store lacks; how many. Files do not depend on the executor, on one kind of processor."""
    missing = store.missing(pairs)
    work = ((start, missing.slice(start, SHARD_PAIRS)) for start in range(0, missing.height, SHARD_PAIRS))
    with tqdm(total=missing.height, desc="label", unit="pair", mininterval=5) as progress:
        for start, content in executor.map(labeller.open, work):
            store.add(content)
            progress.update(min(SHARD_PAIRS, missing.height - start))
    return missing.height


def _threads() -> int:
    return torch.get_num_threads()


def label(run: Run, pairs: Path | None, store: Path | None) -> str:
    """Label pairs with the recipe's trained policy teacher, or with what step `teach` wrote; a sentence about it.

    `pairs`: a Parquet file with the columns member
    and candidate, texts as the template renders them; None: those that step `annotate` labels. `store`: None: where
    step `annotate` looks for labels of these weights.
    """
    resources = run.resources()
    plan = annotate_plan(run.recipe)
    if not plan.heads.graded:
        raise StepError("this product has no policy teacher, because it has no graded pairs: step annotate labels it")
    model = load_policy_teacher(run.recipe.teacher.trained or run.folder("teach"))
    teacher = Teacher(model.heads, model, {})
    table = read_table(pairs) if pairs else pairs_to_label(plan, run.folder("data"))
    folder = store or resources.shared / "soft_labels"
    labeller, begun = Labeller(teacher, text_encoder(plan.text, resources), _threads()), time.perf_counter()
    kept = open_store(teacher, folder)
    done = label_pairs(table, labeller, kept, run.executor)
    rate = done / max(time.perf_counter() - begun, 1e-9)
    return f"{table.height} pairs, {done} labelled now at {rate:.1f} pairs/s, in {kept.folder}"


def annotate_plan(recipe: Recipe) -> AnnotatePlan:
    """What step `annotate` labels."""
    return AnnotatePlan(
        recipe.head_names, recipe.text, recipe.student.annotated_lists, recipe.teacher.pool, recipe.seed
    )


ANNOTATE = Step("annotate", annotate_plan, AnnotateInputs, annotate)
