"""Soft labels: what cannot be learnt from is named with file, row and column, and so is a teacher of another policy."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import polars as pl
import pytest

from training.dag import STEPS
from training.data.tables import DataError
from training.nets.checkpoints import check_model_stamp, write_stamp
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.policy import PolicyMismatch
from training.recipes.registry import find
from training.step_runner import Run, run_step
from training.steps.annotate import check_soft_labels

POLICY = read_policy(POLICIES / "demo.md")
OTHER = dataclasses.replace(POLICY, sha256="0" * 64)


def shard(folder: Path, **changes: list[object]) -> None:
    columns: dict[str, list[object]] = {
        "member": ["a", "a"],
        "candidate": ["x", "y"],
        "fit": [0.25, 1.0],
        "fit_logit": [-1.1, 9.0],
        "policy": [POLICY.stamp, POLICY.stamp],
    }
    table = pl.DataFrame({**columns, **changes}, schema_overrides={"fit": pl.Float64, "member": pl.String})
    table.write_parquet(folder / "soft-00000.parquet")


def test_soft_labels_of_this_policy_are_taken(tmp_path: Path) -> None:
    shard(tmp_path)
    check_soft_labels(tmp_path, ["fit"], POLICY)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"fit": [0.5, float("nan")]}, "fit"),
        ({"fit": [0.5, None]}, "fit"),
        ({"fit": [0.5, 1.5]}, "fit"),
        ({"fit_logit": [0.0, float("inf")]}, "fit"),
        ({"member": ["a", None]}, "member"),
    ],
    ids=["NaN", "no label", "above one", "endless logit", "no member"],
)
def test_a_label_that_cannot_be_learnt_from_is_named(
    tmp_path: Path, changes: dict[str, list[object]], column: str
) -> None:
    shard(tmp_path, **changes)
    with pytest.raises(DataError, match=rf"soft-00000\.parquet: row 1, column '{column}'"):
        check_soft_labels(tmp_path, ["fit"], POLICY)


def names_both(sentence: str) -> bool:
    return POLICY.stamp in sentence and OTHER.stamp in sentence


def test_labels_made_under_another_policy_are_refused(tmp_path: Path) -> None:
    shard(tmp_path, policy=[POLICY.stamp, OTHER.stamp])
    with pytest.raises(PolicyMismatch, match=r"soft-00000\.parquet: row 1, column 'policy'") as caught:
        check_soft_labels(tmp_path, ["fit"], POLICY)
    assert names_both(str(caught.value))


def test_a_teacher_says_under_which_policy_it_was_made(tmp_path: Path) -> None:
    write_stamp(tmp_path, POLICY)
    check_model_stamp(tmp_path, POLICY)
    with pytest.raises(PolicyMismatch) as caught:
        check_model_stamp(tmp_path, OTHER)
    assert names_both(str(caught.value))


@pytest.mark.parametrize("step", ["annotate", "export"])
def test_no_step_uses_a_teacher_of_another_policy(tmp_path: Path, step: str) -> None:
    run = Run(find("demo"), tmp_path, tmp_path / "runs", tmp_path / "bundles")
    run_step(STEPS["policy"], run)
    run.folder("teach").mkdir()
    write_stamp(run.folder("teach"), OTHER)
    with pytest.raises(PolicyMismatch, match=re.escape("the recipe's policy is demo-policy@1.0.0#")) as caught:
        STEPS[step].work(run, tmp_path)
    assert names_both(str(caught.value))


def test_a_teacher_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyMismatch, match="made under policy \\(none\\)"):
        check_model_stamp(tmp_path, POLICY)
