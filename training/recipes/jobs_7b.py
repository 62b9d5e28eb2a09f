"""Jobs for members, taught by a decoder of seven billion weights; the student is that of `jobs`.

Meant for eight cards of 80 GB, and not run on them yet. The base is the folder `DATA/qwen2.5-7b-instruct` where that
is, else Hugging Face is asked by name:

    accelerate launch --config_file training/trainer/accelerate/fsdp2.yaml -m training teach jobs-7b --data DATA

All other steps are done by one process.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.data.source_files import SourceFiles
from training.nets.shapes import Lora
from training.recipe import DecoderPlan, Recipe, TeacherPlan
from training.recipes import jobs
from training.trainer.schedule import Schedule

QWEN = "Qwen/Qwen2.5-7B-Instruct"
BASE = "The teacher: LoRA on Qwen2.5-7B-Instruct (Alibaba Cloud, Apache-2.0), which is no part of the student."


def base(data: SourceFiles, _: Path) -> str:
    """The folder beside the sources, or the name that Hugging Face knows."""
    name = "qwen2.5-7b-instruct"
    return str(data.path(name)) if data.has(name) else QWEN


def recipe() -> Recipe:
    """Qwen2.5-7B reads every pair; MiniLM-L6 learns from its labels."""
    small = jobs.recipe()
    card = replace(
        small.export.card, title="Fitscore jobs student of a 7B teacher", data=(*small.export.card.data, BASE)
    )
    teacher = TeacherPlan(
        decoder=DecoderPlan(base=base, lora=Lora(rank=16, alpha=32), lists_at_once=1),
        tokens=(384, 256),
        schedule=Schedule(
            steps=1500, lists_per_step=16, learning_rate=2e-4, added_learning_rate=1e-4, checkpoint_every=50
        ),
        constructed_steps=150,
    )
    upper = replace(small.student.phases.pairs, steps=20_000, lists_per_step=16)
    return replace(
        small,
        name="jobs-7b",
        teacher=teacher,
        student=replace(small.student, phases=replace(small.student.phases, pairs=upper), annotated_lists=8000),
        evaluation=replace(small.evaluation, teacher_lists=None),
        export=replace(small.export, card=card),
    )
