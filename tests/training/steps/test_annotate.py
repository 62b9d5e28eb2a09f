"""No step uses a teacher that was made under another policy, or under none."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from training.dag import load_step
from training.files import write_json
from training.nets.checkpoints import check_model_stamp, write_stamp
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.policy import PolicyMismatch
from training.recipes import find_recipe
from training.step_runner import Run, run_step

POLICY = read_policy(POLICIES / "demo.md")
OTHER = dataclasses.replace(POLICY, sha256="0" * 64)


def names_both(sentence: str) -> bool:
    return POLICY.stamp in sentence and OTHER.stamp in sentence


def test_a_teacher_carries_the_stamp_of_its_policy(tmp_path: Path) -> None:
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
    with pytest.raises(PolicyMismatch, match=re.escape("the recipe's policy is demo-policy@1.1.0#")) as caught:
        load_step(step).work(plan, inputs, tmp_path, run.resources())
    assert names_both(str(caught.value))


def test_soft_labels_survive_a_run_that_refuses_the_teacher(tmp_path: Path) -> None:
    """They may have taken hours. The step refuses, and its folder holds what it held."""
    run = Run(find_recipe("demo"), tmp_path, tmp_path / "runs", tmp_path / "bundles")
    run_step(load_step("policy"), run)
    for name in ("data", "teach", "teach-engagement", "annotate"):
        run.folder(name).mkdir()
        write_json(run.folder(name) / "step.json", {"outputs": {"x": "1"}, "inputs": {}, "sources": {}})
    write_stamp(run.folder("teach"), OTHER)
    (run.folder("annotate") / "soft-00000.parquet").write_bytes(b"labels")
    with pytest.raises(PolicyMismatch):
        run_step(load_step("annotate"), run)
    assert (run.folder("annotate") / "soft-00000.parquet").read_bytes() == b"labels"


def test_an_edited_policy_keeps_the_teacher_until_a_person_decides() -> None:
    """A training may cost hours: the edit does not start one, and the steps above refuse the teacher."""
    assert load_step("teach").stamped == ("policy",)


def test_a_teacher_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyMismatch, match="made under policy \\(none\\)"):
        check_model_stamp(tmp_path, POLICY)
