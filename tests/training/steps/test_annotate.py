"""Soft labels: what cannot be learnt from is named with file, row and column, and so is a teacher of another policy."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.dag import load_step
from training.data.soft_labels import SoftLabels, read_soft_labels, shard_bytes, shard_path
from training.data.tables import DataError
from training.nets.checkpoints import check_model_stamp, write_stamp
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.policy import PolicyMismatch
from training.recipes import find_recipe
from training.step_runner import Run, run_step

POLICY = read_policy(POLICIES / "demo.md")
OTHER = dataclasses.replace(POLICY, sha256="0" * 64)


def shard(folder: Path, **changes: list[object]) -> None:
    columns: dict[str, list[object]] = {
        "list_id": ["1", "1"],
        "source": ["s", "s"],
        "split": ["train", "train"],
        "member": ["a", "a"],
        "candidate": ["x", "y"],
        "fit": [0.25, 1.0],
        "fit_logit": [-1.1, 9.0],
        "fit_gold": [None, 1.0],
        "policy": [POLICY.stamp, POLICY.stamp],
    }
    table = pl.DataFrame(
        {**columns, **changes}, schema_overrides={"fit": pl.Float64, "fit_gold": pl.Float64, "member": pl.String}
    )
    table.write_parquet(folder / "soft-00000.parquet")


def test_soft_labels_of_this_policy_are_taken(tmp_path: Path) -> None:
    shard(tmp_path)
    (read,) = read_soft_labels(tmp_path, ["fit"], POLICY)
    labels = SoftLabels.of(read.labels, "fit")
    assert labels.probability.tolist() == [0.25, 1.0]
    assert labels.logit.tolist() == [-1.1, 9.0]
    np.testing.assert_array_equal(labels.gold, [np.nan, 1.0])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    shard(tmp_path)
    path = shard_path(tmp_path, 0)
    (read,) = read_soft_labels(tmp_path, ["fit"], POLICY)
    path.write_bytes(shard_bytes(pl.read_parquet(path), {"fit": SoftLabels.of(read.labels, "fit")}, POLICY.stamp))
    (again,) = read_soft_labels(tmp_path, ["fit"], POLICY)
    assert again.candidates == read.candidates
    np.testing.assert_array_equal(again.labels["fit_gold"], read.labels["fit_gold"])


def test_a_missing_column_and_no_shard_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no soft labels"):
        read_soft_labels(tmp_path, ["fit"], POLICY)
    shard(tmp_path)
    with pytest.raises(DataError, match=r"soft-00000\.parquet: column 'click' is missing"):
        read_soft_labels(tmp_path, ["fit", "click"], POLICY)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"fit": [0.5, float("nan")]}, "fit"),
        ({"fit": [0.5, None]}, "fit"),
        ({"fit": [0.5, 1.5]}, "fit"),
        ({"fit_logit": [0.0, float("inf")]}, "fit_logit"),
        ({"fit_gold": [0.0, 2.0]}, "fit_gold"),
        ({"member": ["a", None]}, "member"),
    ],
    ids=["NaN", "no label", "above one", "infinite logit", "gold above one", "no member"],
)
def test_a_label_that_cannot_be_learnt_from_is_named(
    tmp_path: Path, changes: dict[str, list[object]], column: str
) -> None:
    shard(tmp_path, **changes)
    with pytest.raises(DataError, match=rf"soft-00000\.parquet: row 1, column '{column}'"):
        read_soft_labels(tmp_path, ["fit"], POLICY)


def names_both(sentence: str) -> bool:
    return POLICY.stamp in sentence and OTHER.stamp in sentence


def test_labels_made_under_another_policy_are_refused(tmp_path: Path) -> None:
    shard(tmp_path, policy=[POLICY.stamp, OTHER.stamp])
    with pytest.raises(PolicyMismatch, match=r"soft-00000\.parquet: row 1, column 'policy'") as caught:
        read_soft_labels(tmp_path, ["fit"], POLICY)
    assert names_both(str(caught.value))


def test_a_teacher_says_under_which_policy_it_was_made(tmp_path: Path) -> None:
    write_stamp(tmp_path, POLICY)
    check_model_stamp(tmp_path, POLICY)
    with pytest.raises(PolicyMismatch) as caught:
        check_model_stamp(tmp_path, OTHER)
    assert names_both(str(caught.value))


@pytest.mark.parametrize("step", ["annotate", "export"])
def test_no_step_uses_a_teacher_of_another_policy(tmp_path: Path, step: str) -> None:
    run = Run(find_recipe("demo"), tmp_path, tmp_path / "runs", tmp_path / "bundles")
    run_step(load_step("policy"), run)
    run.folder("teach").mkdir()
    write_stamp(run.folder("teach"), OTHER)
    plan, inputs = load_step(step).plan(run.recipe), run.inputs_of(load_step(step))
    with pytest.raises(PolicyMismatch, match=re.escape("the recipe's policy is demo-policy@1.0.0#")) as caught:
        load_step(step).work(plan, inputs, tmp_path, run.resources())
    assert names_both(str(caught.value))


def test_a_teacher_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyMismatch, match="made under policy \\(none\\)"):
        check_model_stamp(tmp_path, POLICY)
