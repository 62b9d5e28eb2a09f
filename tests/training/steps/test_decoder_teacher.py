"""A decoder as the policy teacher of a recipe, in miniature: trained by one process and by two, and annotating.

The two are started by `accelerate launch` on this machine's CPUs, by DDP and, sliced, by FSDP2.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from tests.support.miniature import PAIRS, in_fp32, run_in
from training.dag import load_step
from training.data.lists import CandidateList
from training.data.soft_labels import Answers, SoftLabels, read_soft_labels
from training.nets.checkpoints import load_policy_teacher, read_calibrations
from training.nets.inference import predict_lists
from training.nets.llm_teacher import Decoder
from training.objectives.pairwise import pair_objective
from training.policy.parser import read_policy
from training.step_runner import Run, StepError, run_step
from training.steps import train_policy_teacher as teach
from training.trainer.distributed import ProcessGroup
from training.trainer.loop import TrainingStopped, fit

ROOT = Path(__file__).parents[3]
CUT_AT = PAIRS.checkpoint_every


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which the steps before `teach` are done, and `teach` was cut off at its first checkpoint."""
    root = tmp_path_factory.mktemp("prepared")
    run = run_in(root)
    whole: Callable[..., Callable[..., torch.Tensor]] = pair_objective
    calls: list[int] = []

    def cutting(*args: Any) -> Callable[..., torch.Tensor]:
        objective = whole(*args)

        def cut(*lists: Any) -> torch.Tensor:
            calls.append(1)
            if len(calls) > CUT_AT:
                raise KeyboardInterrupt
            return objective(*lists)

        return cut

    run_step(load_step("policy"), run)
    run_step(load_step("data"), run)
    run_step(load_step("start"), run)
    with pytest.MonkeyPatch.context() as patched, in_fp32():
        patched.setattr(teach, "pair_objective", cutting)
        with pytest.raises(KeyboardInterrupt):
            run_step(load_step("teach"), run)
    return root


def copy_of(root: Path, folder: Path, *, begun: bool) -> Path:
    shutil.copytree(root, folder)
    if not begun:
        shutil.rmtree(folder / "runs" / "demo" / "teach")
    return folder


@pytest.fixture(scope="module")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One process resumes it and finishes."""
    run = run_in(copy_of(prepared, tmp_path_factory.mktemp("alone") / "root", begun=True))
    with in_fp32():
        run_step(load_step("teach"), run)
        yield run


def losses(root: Path) -> list[float]:
    log = root / "runs" / "demo" / "teach" / "log.jsonl"
    return [json.loads(line)["loss"] for line in log.read_text().splitlines()]


def gradients(folder: Path) -> torch.Tensor:
    """Adam's first moments of all gradients, as one vector."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert state["step"] == PAIRS.steps
    return torch.cat([moments["exp_avg"].flatten() for _, moments in sorted(state["optimiser"]["state"].items())])


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_the_teacher_of_a_recipe_is_a_decoder_with_the_policys_questions_in_its_prompt(alone: Run) -> None:
    teacher = load_policy_teacher(alone.folder("teach"))
    assert isinstance(teacher, Decoder)
    assert set(read_calibrations(alone.folder("teach"))) == {"relevance", "role", "skills", "seniority"}
    assert "How many of the wanted skills does the member have?" in teacher.encoder.prompt.start


def joined(lists: list[CandidateList]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([each.labels[name] for each in lists]) for name in lists[0].labels}


@pytest.mark.slow
def test_its_soft_labels_are_calibrated_and_teach_a_student(alone: Run) -> None:
    for name in ("log", "teach-engagement", "annotate"):
        run_step(load_step(name), alone)
    policy = read_policy(alone.recipe.data.policy)
    soft = SoftLabels.of(joined(read_soft_labels(alone.folder("annotate"), ["relevance"], policy)), "relevance")
    teacher = load_policy_teacher(alone.folder("teach"))
    assert isinstance(teacher, Decoder)
    lists = read_soft_labels(alone.folder("annotate"), ["relevance"], policy)
    wanted = Answers.of(predict_lists(teacher, teacher.encoder, lists)).logits[:, 0]
    np.testing.assert_allclose(soft.logit, wanted, rtol=1e-3, atol=1e-3)
    stated = read_calibrations(alone.folder("teach"))["relevance"].apply(soft.logit)
    np.testing.assert_allclose(soft.probability, stated, rtol=1e-6)
    assert wanted.std() > 0.01
    run_step(load_step("distill"), alone)
    encoders = [alone.folder("start") / "model", alone.folder("distill") / "encoder" / "model"]
    before, after = (load_file(each / "model.safetensors") for each in encoders)
    assert any(not torch.equal(before[name], tensor) for name, tensor in after.items())


@pytest.fixture(scope="module")
def together(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two processes: from the beginning with all weights each, and sliced from where one process was cut off."""
    folder = tmp_path_factory.mktemp("together")
    whole = copy_of(prepared, folder / "whole", begun=False)
    sliced = copy_of(prepared, folder / "sliced", begun=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    config = ROOT / "training" / "trainer" / "accelerate" / "fsdp2.yaml"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", "2"]
    launch += ["--main_process_ip", "127.0.0.1", "--main_process_port", str(port)]
    launch += ["-m", "tests.support.miniature", str(whole), str(sliced)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return whole, sliced


@pytest.mark.cluster
def test_two_processes_learn_what_one_does(alone: Run, together: tuple[Path, Path]) -> None:
    for root in together:
        assert losses(root) == pytest.approx(losses(alone.data), rel=1e-4)
        found = gradients(root / "runs" / "demo" / "teach")
        assert distance(found, gradients(alone.folder("teach"))) < 1e-3  # sums in another order


def test_half_of_each_step_gives_other_gradients(alone: Run, tmp_path: Path) -> None:
    """The control: what a process learns from its own part alone."""
    policy, plan = read_policy(alone.recipe.data.policy), teach.TEACH.plan(alone.recipe)
    lists = teach.GradedLists.read(plan.heads, policy, alone.folder("data"))
    decoder = teach.untrained_teacher(plan, lists, alone.inputs_of(teach.TEACH), alone.resources(), 0)
    loss = teach.loss_of(plan.teacher, lists)
    objective = pair_objective(decoder, decoder.encoder, loss)
    fit(decoder, lists.train, lambda some: objective(some[::2]), plan.teacher.schedule, tmp_path)
    assert distance(gradients(tmp_path), gradients(alone.folder("teach"))) > 0.1


@pytest.mark.cluster
def test_a_model_that_two_processes_saved_can_be_read(alone: Run, together: tuple[Path, Path]) -> None:
    wanted = saved_adapter(alone.data)
    for root in together:
        found = saved_adapter(root)
        assert found.keys() == wanted.keys()
        for name, tensor in found.items():
            torch.testing.assert_close(tensor, wanted[name], atol=10 * PAIRS.learning_rate, rtol=0, msg=name)


def saved_adapter(root: Path) -> dict[str, torch.Tensor]:
    return load_file(root / "runs" / "demo" / "teach" / "model" / "adapter_model.safetensors")


def of_two() -> ProcessGroup:
    """As one of two processes sees it."""
    return ProcessGroup(cast(Accelerator, SimpleNamespace(num_processes=2, process_index=1, is_main_process=False)))


def test_a_process_takes_its_part_of_a_steps_lists() -> None:
    shared: Any = of_two().part(cast(Any, "abcd"))
    assert shared == "bd"


def test_a_step_that_cannot_be_divided_evenly_is_an_error(tmp_path: Path) -> None:
    odd = dataclasses.replace(PAIRS, lists_per_step=3)
    with pytest.raises(TrainingStopped, match="a step's 3 lists cannot be divided evenly by 2 processes"):
        fit(torch.nn.Linear(1, 1), cast(Any, "abcd"), cast(Any, None), odd, tmp_path, processes=of_two())


def test_a_step_for_one_process_refuses_more(tmp_path: Path) -> None:
    run = dataclasses.replace(run_in(tmp_path), processes=of_two())
    with pytest.raises(StepError, match="step 'policy' is done by one process: start it without `accelerate launch`"):
        run_step(load_step("policy"), run)
