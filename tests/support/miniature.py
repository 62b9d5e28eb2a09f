"""The recipe of a decoder in miniature, whole but for its size. As a module: `teach` by one process of a team, twice.

    accelerate launch ... -m tests.support.miniature WHOLE SLICED

In WHOLE each process holds all weights (DDP), in SLICED its slice of them (FSDP2).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from tests.support.decoders import write_tiny_decoder
from training.dag import load_step
from training.data.lists import FieldList, Split
from training.data.source_files import SourceFiles
from training.nets.shapes import DOT, Lora
from training.policy.documents import POLICIES
from training.recipe import ActionHeadsPlan, DecoderPlan, Recipe, StartPlan, TeacherPlan
from training.recipes import find_recipe
from training.sources.market import market_attractiveness, market_judged_lists, market_lists
from training.sources.simulated_clicks import power_law, simulated_log
from training.step_runner import Run, run_step
from training.trainer import precision
from training.trainer.distributed import launched
from training.trainer.schedule import Phases, Schedule

SIDES = Schedule(steps=2, lists_per_step=4, learning_rate=1e-3)
# So slow that all gradients are taken at nearly the same place: Adam makes whole steps of rounding errors.
PAIRS = Schedule(steps=4, lists_per_step=4, learning_rate=1e-5, checkpoint_every=2)


def lists(_: SourceFiles) -> Iterator[FieldList]:
    yield from market_lists(lists={"train": 16, "valid": 4, "test": 4}, candidates=4, seed=0)


def judged(_: SourceFiles) -> Iterator[FieldList]:
    lists: dict[Split, int] = {"train": 16, "valid": 4, "test": 4}
    yield from market_judged_lists(POLICIES / "demo.md", lists=lists, candidates=4, seed=0)


def log(_: SourceFiles) -> Iterator[FieldList]:
    shown = market_lists(lists={"train": 16, "valid": 8, "test": 4}, candidates=8, seed=2)
    yield from simulated_log(shown, market_attractiveness, power_law(8, 0.7), seed=3)


def base(_: SourceFiles, folder: Path) -> str:
    return write_tiny_decoder(folder, [(POLICIES / "demo.md").read_text(encoding="utf-8")])


def recipe() -> Recipe:
    """The demo's, with a decoder of two layers and a student that scores by a dot product."""
    decoder = DecoderPlan(base=base, lora=Lora(rank=4, alpha=8))
    demo = find_recipe("demo")
    assert demo.engagement is not None
    return replace(
        demo,
        data=replace(demo.data, lists=lists, judged=judged, constructed=None),
        engagement=replace(
            demo.engagement,
            log=log,
            teacher=replace(demo.engagement.teacher, phases=Phases(SIDES, SIDES)),
            student=ActionHeadsPlan(schedule=SIDES, shares=()),
        ),
        start=StartPlan(schedule=SIDES),
        teacher=TeacherPlan(schedule=PAIRS, tokens=(24, 24), decoder=decoder),
        student=replace(demo.student, phases=Phases(SIDES, SIDES), split=DOT),
    )


def run_in(root: Path) -> Run:
    """Where the recipe runs, in this process's team."""
    return Run(recipe(), root, root / "runs", root / "bundles", processes=launched())


def in_fp32() -> AbstractContextManager[object]:
    """On any CPU: what is compared is who read what, not how bf16 rounds it."""
    return patch.object(precision, "_has_bf16", lambda _: False)


def main() -> None:
    torch.set_num_threads(1)
    with in_fp32():
        teach_twice()


def teach_twice() -> None:
    whole, sliced = map(Path, sys.argv[1:])
    run_step(load_step("teach"), run_in(whole))
    # accelerate shards on cards alone. It takes these CPUs for cards; all that follows is its own.
    AcceleratorState._reset_state()
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    run = run_in(sliced)
    assert run.processes is not None
    assert run.processes.is_sharded
    run_step(load_step("teach"), run)


if __name__ == "__main__":
    main()
