"""Jobs for members, taught by a small decoder: the code path of `jobs-7b` at a size that a machine without a GPU runs.

The base is SmolLM2-135M-Instruct, the folder `DATA/smollm2_135m`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.data.source_files import SourceFiles
from training.nets.shapes import Lora
from training.policy.policy import RELEVANCE
from training.recipe import DecoderPlan, Recipe, TeacherPlan
from training.recipes import jobs
from training.trainer.schedule import Schedule

BASE = "The teacher: LoRA on SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), which is no part of the student."


def base(data: SourceFiles, _: Path) -> str:
    """The folder beside the sources."""
    return str(data.path("smollm2_135m"))


def recipe() -> Recipe:
    """SmolLM2-135M reads every pair; MiniLM-L6 learns from its labels."""
    small = jobs.recipe()
    card = replace(
        small.export.card, title="Fitscore jobs student of a 135M decoder", data=(*small.export.card.data, BASE)
    )
    schedule = Schedule(
        steps=1000,
        lists_per_step=1,
        learning_rate=2e-4,
        added_learning_rate=1e-4,
        warmup_share=0.04,
        decay_share=0.1,
        checkpoint_every=20,
    )
    teacher = TeacherPlan(
        decoder=DecoderPlan(base=base, lora=Lora(rank=16, alpha=32)),
        tokens=(128, 128),
        schedule=schedule,
        constructed_steps=200,
        weights={RELEVANCE: 3.0, "seniority": 1.5, "constraints": 1.5},
        pool=small.teacher.pool,
    )
    return replace(small, name="jobs-135m", teacher=teacher, export=replace(small.export, card=card))
