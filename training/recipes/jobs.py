"""Jobs for members, learnt from O*NET, ESCO, their official crosswalk, and USAJOBS questionnaires."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.text import FieldFormat, Template
from training.data import FieldList
from training.fit import Schedule
from training.recipe import Card, HeadPlan, Recipe
from training.sources import career_moves, onet_esco, usajobs

TEMPLATE = Template(
    member=(
        FieldFormat(name="headline"),
        FieldFormat(name="skills", label="skills"),
        FieldFormat(name="experience"),
    ),
    candidate=(
        FieldFormat(name="title"),
        FieldFormat(name="skills", label="skills"),
        FieldFormat(name="description"),
    ),
)
# O*NET major groups held out whole: computing, health practitioners, sales, construction; two more to validate on.
GROUPS = onet_esco.MajorGroups(valid=frozenset({"19", "43"}), test=frozenset({"15", "29", "41", "47"}))


def lists(data: Path) -> Iterator[FieldList]:
    """All labelled lists of the jobs product, each with its split."""
    taxonomies = onet_esco.read_taxonomies(data)
    postings = usajobs.read_postings(data)
    yield from onet_esco.crosswalk_lists(taxonomies, GROUPS, copies=10, candidates=8, seed=1)
    yield from onet_esco.title_lists(taxonomies, GROUPS, count=8000, candidates=8, seed=2)
    yield from onet_esco.skill_lists(taxonomies, GROUPS, count=2500, candidates=8, seed=3)
    yield from usajobs.posting_lists(postings, "train", count=3500, candidates=8, titled_share=0.5, seed=4)
    yield from onet_esco.held_out_crosswalk_lists(taxonomies, GROUPS, candidates=50, seed=5)
    yield from usajobs.posting_lists(postings, "valid", count=150, candidates=20, titled_share=0.0, seed=6)
    yield from usajobs.posting_lists(postings, "test", count=400, candidates=20, titled_share=0.0, seed=7)
    yield from career_moves.move_lists(data, count=600, negatives=30, seed=8)


def recipe() -> Recipe:
    """MiniLM-L6 as the flat teacher, its layers 0, 2 and 5 as the student."""
    return Recipe(
        name="jobs",
        version="1",
        heads=(HeadPlan("relevance", "how well the job fits what the member has done and can do", 1.0),),
        template=TEMPLATE,
        member_tokens=96,
        candidate_tokens=96,
        backbone=lambda data, _: str(data / "minilm_l6_v2"),
        lists=lists,
        teacher=Schedule(steps=660, lists_per_step=6, learning_rate=1e-4, checkpoint_every=100),
        student=Schedule(steps=1200, lists_per_step=8, learning_rate=2e-4, checkpoint_every=100),
        training_tokens=(64, 64),
        annotated_lists=6000,
        student_layers=(0, 2, 5),
        gold_anchor=0.1,
        calibration_lists=400,
        floors={},
        card=Card(title="", intended_use="", limits="", data=(), attributions=(), licence="Apache-2.0"),
    )
