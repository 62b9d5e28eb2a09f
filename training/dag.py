"""The steps, in an order in which each finds its inputs.

A step's own module holds its plan (its part of the recipe), its inputs (the folders that it reads) and its function.
The module is imported only for a step that runs: most of them import torch, which takes seconds.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from training.fingerprint import code_digest, describe
from training.step_runner import Run, Step, reasons_to_run, run_step

STEPS = {
    "policy": "training.steps.prepare:POLICY",
    "golden": "training.steps.prepare:GOLDEN",
    "judge": "training.steps.judge:JUDGE",
    "data": "training.steps.prepare:DATA",
    "log": "training.steps.prepare:LOG",
    "start": "training.steps.start:START",
    "teach": "training.steps.train_policy_teacher:TEACH",
    "teach-engagement": "training.steps.train_engagement_teacher:TEACH_ENGAGEMENT",
    "annotate": "training.steps.annotate:ANNOTATE",
    "frontier": "training.steps.architecture_sweep:FRONTIER",
    "distill": "training.steps.distill:DISTILL",
    "ablate": "training.steps.ablate:ABLATE",
    "compress": "training.steps.compress:COMPRESS",
    "evaluate": "training.steps.evaluate:EVALUATE",
    "export": "training.steps.export:EXPORT",
}


def load_step(name: str) -> Step[Any, Any]:
    """The step of this name; its module is imported."""
    step: Step[Any, Any] = pkgutil.resolve_name(STEPS[name])
    return step


def status(run: Run) -> Iterator[tuple[str, list[str], list[str]]]:
    """Of each step in order: its name, why it would run now, and the steps before it that run and may change its input.

    A step without reasons runs after those only if they write something else than before.
    """
    running: set[str] = set()
    for name in STEPS:
        step = load_step(name)
        reasons = reasons_to_run(step, run)
        before = [each for each in step.reads if each in running]
        if reasons or before:
            running.add(name)
        yield name, reasons, before


def run_all(run: Run, accepted: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run every step in order, except those that are done; `accepted` holds reasons to keep results, by step.

    All code is read before the first step runs, so that no step counts an edit that its process has not loaded.
    """
    steps = [load_step(name) for name in STEPS]
    for step in steps:
        code_digest(step.work)
        describe(step.plan(run.recipe))
    for step in steps:
        run_step(step, run, accepted.get(step.name, ""))
