"""Steps `policy`, `golden`, `data` and `log`: what the recipe's sources hold -> checked files that later steps read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.template import Template
from training.data.impressions import POSITION, SHOWN, check_impressions
from training.data.lists import check_pairs, render_lists
from training.data.soft_labels import SoftColumns
from training.data.source_files import SourceFiles
from training.files import write_json
from training.judging.golden_set import HumanGrades, make_golden
from training.policy.parser import read_policy
from training.policy.prompt import system_message
from training.recipe import Lists
from training.step_runner import Resources, Step


@dataclass(frozen=True)
class NoInputs:
    """For a step that reads no other step."""


def prepare_policy(document: Path, _: NoInputs, out: Path, __: Resources) -> None:
    """Check the policy document; write it, its parsed form as JSON and the judge's prompt."""
    policy = read_policy(document)
    (out / "policy.md").write_bytes(document.read_bytes())
    write_json(out / "policy.json", {"stamp": policy.stamp, **dataclasses.asdict(policy)})
    (out / "prompt.md").write_text(system_message(policy) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class GoldenPlan:
    """Who graded, and how their pairs become texts."""

    human_grades: Callable[[SourceFiles], HumanGrades]
    template: Template


@dataclass(frozen=True)
class GoldenInputs:
    policy: Path


def prepare_golden(plan: GoldenPlan, inputs: GoldenInputs, out: Path, resources: Resources) -> None:
    """Adjudicate human grades into the golden set."""
    policy = read_policy(inputs.policy / "policy.md")
    make_golden(plan.human_grades(resources.sources), policy, plan.template, out)


@dataclass(frozen=True)
class ListsPlan:
    """An adapter, and what becomes of its lists: texts by the template, a column for each label and each feature."""

    lists: Lists | None
    template: Template
    labels: tuple[str, ...]
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataStepPlan:
    """Adapters by the name of the file that each fills, the heads with gains, the policy with its dimensions, and the
    names of features.
    """

    lists: Lists
    graded: dict[str, Lists | None]
    template: Template
    heads: tuple[str, ...]
    policy: Path
    features: tuple[str, ...] = ()


def prepare_data(plan: DataStepPlan, _: NoInputs, out: Path, resources: Resources) -> None:
    """Write `pairs.parquet`, the candidate lists of all splits, and what the policy teacher learns from.

    That is `judged.parquet`, `constructed.parquet` and `second_opinion.parquet`: lists with a label for each dimension
    too, and whether it can be answered. A file is empty where the recipe has no such lists.
    """
    dimensions = read_policy(plan.policy).dimension_names
    answerable = (SoftColumns.of(name).answerable for name in dimensions)
    labels = tuple(dict.fromkeys((*plan.heads, *dimensions, *answerable)))
    for name, lists in {"pairs": plan.lists, **plan.graded}.items():
        pairs = _render(ListsPlan(lists, plan.template, labels, plan.features), labels, resources)
        if pairs.height or name == "pairs":
            check_pairs(pairs, labels, f"the recipe's lists ({name})")
        pairs.write_parquet(out / f"{name}.parquet")


def prepare_log(plan: ListsPlan, _: NoInputs, out: Path, resources: Resources) -> None:
    """Write `impressions.parquet`, the engagement log; it is empty without an engagement teacher."""
    log = _render(plan, (*plan.labels, POSITION, SHOWN), resources)
    if plan.lists:
        check_impressions(log, plan.labels, "the recipe's log")
    log.write_parquet(out / "impressions.parquet")


def _render(plan: ListsPlan, labels: tuple[str, ...], resources: Resources) -> pl.DataFrame:
    return render_lists(plan.lists(resources.sources) if plan.lists else (), plan.template, labels, plan.features)


POLICY = Step("policy", lambda recipe: recipe.data.policy, NoInputs, prepare_policy)
GOLDEN = Step(
    "golden",
    lambda recipe: GoldenPlan(recipe.data.human_grades, recipe.text.template),
    GoldenInputs,
    prepare_golden,
)
DATA = Step(
    "data",
    lambda recipe: DataStepPlan(
        recipe.data.lists,
        {name: getattr(recipe.data, name) for name in ("judged", "constructed", "second_opinion")},
        recipe.text.template,
        recipe.head_names.gains,
        recipe.data.policy,
        tuple(each.name for each in recipe.features),
    ),
    NoInputs,
    prepare_data,
)
LOG = Step(
    "log",
    lambda recipe: ListsPlan(
        recipe.engagement.log if recipe.engagement else None,
        recipe.text.template,
        recipe.head_names.actions,
        tuple(each.name for each in recipe.features),
    ),
    NoInputs,
    prepare_log,
)
