"""Jobs for members, learnt from O*NET, ESCO, their official crosswalk, and USAJOBS questionnaires."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from functools import partial

from models.template import FieldFormat, Template
from training.data.lists import FieldList, cut
from training.data.pool import PoolPlan
from training.data.source_files import SourceFiles
from training.judging.golden_set import NO_GRADES, HumanGrades
from training.policy.documents import POLICIES
from training.recipe import (
    Card,
    ClickModelPlan,
    DataPlan,
    EngagementPlan,
    EvaluationPlan,
    ExportPlan,
    HeadPlan,
    Recipe,
    TextPlan,
)
from training.recipes import minilm
from training.recipes.decisions import GROUPS, JOBS
from training.sources import career_moves, esci, onet_esco, usajobs
from training.sources.crosswalk_grades import crosswalk_grades
from training.sources.grade_files import with_regraded
from training.sources.judged import DATASETS, constructed_job_lists, job_lists, job_second_opinions
from training.sources.simulated_clicks import ACTIONS, attractiveness_of_texts, power_law, simulated_log
from training.sources.taxonomies import read_taxonomies

SOURCES = ("onet", "esco_v111", "esco_onet_crosswalk", "usajobs_questionnaires", "esci", "evaluation_only/career_moves")
POLICY, JUDGED_JOBS = POLICIES / "jobs.md", DATASETS / "judged_jobs"
# Preferences and terms come early: they decide, and a long text is cut.
TEMPLATE = Template(
    member=(
        FieldFormat(name="headline"),
        FieldFormat(name="preferences", label="preferences"),
        FieldFormat(name="skills", label="skills"),
        FieldFormat(name="experience"),
    ),
    candidate=(
        FieldFormat(name="title"),
        FieldFormat(name="terms", label="terms"),
        FieldFormat(name="skills", label="skills"),
        FieldFormat(name="description"),
    ),
)
CARD = Card(
    title="Fitscore jobs student",
    intended_use=(
        "Ranking jobs for a member (English): how well a job's title, skills and description fit what the"
        " member has done and can do. A starting point to be trained further on a product's own policy "
        "and grades, not a finished product."
    ),
    limits=(
        "What it knows of level, domain and terms comes from the grades of one large language model, not from "
        "people: it shares that model's mistakes, and terms are its weakest question. Its members and most "
        "postings are written, not real. Pairs that the crosswalk does not list counted as not fitting there, "
        "which is presumed, not judged. Texts are cut at 192 tokens (member) and 128 (candidate). It has not been "
        "audited for fairness beyond swapped names and ages, and ranking people's job opportunities is a high-risk "
        "use under the EU AI Act: audit it on your own population before it decides what people see."
    ),
    data=(
        "Judged jobs (CC0, in the repository): written members, written postings and tasks of real USAJOBS "
        "announcements, graded on five dimensions by a large language model under this policy. Occupations were held "
        "out whole, with all of their postings. A teacher of two readers (MPNet and MiniLM) learnt from them, and "
        "labelled more pairs of the same texts.",
        "Constructed lists: pairs of skills, levels and terms whose grade follows from how they were made.",
        "Official ESCO-O*NET crosswalk (ESCO Secretariat with US DOL, 2022), O*NET 27.0 and ESCO v1.1.1: "
        "grades exact 1, close 2/3, narrow and broad 1/3, unlisted 0. O*NET major groups 15, 29, 41, 47 "
        "were held out whole, with every ESCO occupation that they map to; 19 and 43 served validation.",
        "USA Staffing questionnaires of US federal agencies (work of the US government): claims against "
        "tasks, split by cluster of titles, half of the negatives from the same agency; no sentence is on "
        "both sides of the split.",
        "Amazon Shopping Queries (ESCI, Apache-2.0): texts of 2,500 products, without their labels; on these the "
        "encoder imitates its untouched backbone, so that it keeps what that knew of texts unlike its own.",
        "Heads click, apply and dismiss: a log SIMULATED over the texts of the crosswalk and the questionnaires "
        "(members click what fits, what sounds like their own headline and what is short; places are looked at by "
        "(1/place)^0.7). No log of job seekers with a clear licence exists. These heads show how a second teacher is "
        "taught and weighed, say nothing of real people, and have no part in the default score.",
        "Backbones: all-MiniLM-L6-v2 (the student), all-mpnet-base-v2 (the teacher), both Apache-2.0.",
        "Career moves from public resumes were used for evaluation only: nothing was trained on them, and nothing was "
        "chosen by the members counted.",
    ),
    attributions=(
        "This product includes information from the O*NET 27.0 Database by the U.S. Department of Labor, "
        "Employment and Training Administration (USDOL/ETA). Used under the CC BY 4.0 license. O*NET(R) "
        "is a trademark of USDOL/ETA. It was modified: texts were sampled, cut and combined into training"
        " pairs.",
        "This service uses the ESCO classification of the European Commission.",
        "Texts of the Shopping Queries Dataset (Amazon, Apache License 2.0) were read in training.",
        "Initialised from sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0.",
        "Its teacher was initialised from sentence-transformers/all-mpnet-base-v2, Apache License 2.0.",
    ),
    licence="Apache-2.0",
)
ENGINEER = {
    "headline": "Data engineer",
    "skills": "python, spark, airflow",
    "experience": "Built streaming pipelines for a bank",
}
NURSE = {"headline": "Registered nurse", "experience": "Ten years on an intensive care ward"}
EXAMPLES = (
    (ENGINEER, {"title": "Senior data engineer", "description": "Own our data platform and its pipelines"}),
    (ENGINEER, {"title": "Database administrator", "description": "Keep our databases fast and safe"}),
    (ENGINEER, {"title": "Pastry chef", "description": "Bake for a small hotel"}),
    (NURSE, {"title": "Critical care nurse"}),
    (NURSE, {"title": "Truck driver", "description": "Deliver goods overnight"}),
)


judged = partial(job_lists, POLICY, JUDGED_JOBS)


def has_sources(data: SourceFiles) -> bool:
    """Whether all sources beside the judged lists are there. Where they are not, it says so and the recipe goes on."""
    missing = [name for name in SOURCES if not data.has(name)]
    if missing:
        sys.stderr.write(
            f"jobs: only the judged lists are used: {', '.join(missing)} is not in the folder of sources\n"
        )
    return not missing


def lists(data: SourceFiles) -> Iterator[FieldList]:
    """All labelled lists of the jobs product, each with its split; without other sources, what a judge graded."""
    yield from judged(data)
    if not has_sources(data):
        return
    taxonomies = read_taxonomies(data)
    postings = usajobs.read_postings(data)
    yield from onet_esco.crosswalk_lists(taxonomies, GROUPS, copies=12, candidates=12, seed=1)
    yield from onet_esco.title_lists(taxonomies, GROUPS, count=5000, candidates=8, seed=2)
    yield from onet_esco.skill_lists(taxonomies, GROUPS, count=2000, candidates=8, seed=3)
    yield from onet_esco.name_lists(taxonomies, GROUPS, count=4000, candidates=12, seed=11)
    yield from usajobs.posting_lists(postings, "train", count=3000, candidates=8, titled_share=0.5, seed=4)
    yield from usajobs.title_lists(postings, count=2500, candidates=8, seed=9)
    yield from esci.unjudged_lists(data, count=2500, candidates=8, seed=10)
    yield from onet_esco.held_out_crosswalk_lists(taxonomies, GROUPS, candidates=50, seed=5)
    yield from usajobs.posting_lists(postings, "valid", count=150, candidates=20, titled_share=0.0, seed=6)
    yield from usajobs.posting_lists(postings, "test", count=400, candidates=20, titled_share=0.0, seed=7)
    yield from career_moves.move_lists(data, count=600, negatives=30, seed=8)


def log(data: SourceFiles) -> Iterator[FieldList]:
    """A simulated log over the same texts: no openly licensed log of job seekers exists."""
    if not has_sources(data):
        few = (cut(each, 8 if each.split == "train" else 20) for each in judged(data))
        yield from simulated_log(few, attractiveness_of_texts, power_law(100, 0.7), seed=23)
        return
    taxonomies, postings = read_taxonomies(data), usajobs.read_postings(data)
    shown = itertools.chain(
        onet_esco.crosswalk_lists(taxonomies, GROUPS, copies=2, candidates=8, seed=21),
        usajobs.posting_lists(postings, "train", count=800, candidates=8, titled_share=0.5, seed=22),
        onet_esco.held_out_crosswalk_lists(taxonomies, GROUPS, candidates=20, seed=24),
        usajobs.posting_lists(postings, "valid", count=100, candidates=20, titled_share=0.0, seed=25),
        usajobs.posting_lists(postings, "test", count=150, candidates=20, titled_share=0.0, seed=26),
    )
    yield from simulated_log(shown, attractiveness_of_texts, power_law(100, 0.7), seed=23)


def human_grades(data: SourceFiles) -> HumanGrades:
    """The crosswalk between taxonomies, and what people graded in `regrade.csv`; a judge's grades are no gold."""
    return with_regraded(crosswalk_grades(data) if has_sources(data) else NO_GRADES, data)


def recipe() -> Recipe:
    """MPNet reads pairs and teaches; the student compares items and levels of MiniLM-L6's sides."""
    return Recipe(
        name="jobs",
        version="2",
        # Heads of actions learnt from a simulation: no ranking should follow them unless a caller asks for it.
        heads=(
            HeadPlan("relevance", "how well the job fits by the policy: the expected overall grade / 4", 1.0),
            HeadPlan("role", "whether it is the member's work or a usual next step: the expected grade / 4", 0.0),
            HeadPlan("skills", "whether the member has what the job needs: the expected grade / 4", 0.0),
            HeadPlan("seniority", "whether the level is the member's: the expected grade / 4", 0.0),
            HeadPlan("domain", "whether the member knows the industry: the expected grade / 4", 0.0),
            HeadPlan(
                "constraints",
                "whether the job's terms meet what the member asks for: the expected grade / 4, null where the texts do"
                " not say",
                0.0,
                answerable=True,
            ),
            HeadPlan("click", "chance that a simulated member clicks, once they look", 0.0),
            HeadPlan("apply", "chance that a simulated member applies, once they look", 0.0),
            HeadPlan("dismiss", "chance that a simulated member dismisses the job, once they look", 0.0),
        ),
        text=TextPlan(template=TEMPLATE, member_tokens=192, candidate_tokens=128, backbone=minilm.backbone),
        data=DataPlan(
            policy=POLICY,
            human_grades=human_grades,
            lists=lists,
            judged=judged,
            constructed=partial(constructed_job_lists, POLICY, JUDGED_JOBS, 800, 1),
            second_opinion=partial(job_second_opinions, POLICY, JUDGED_JOBS),
        ),
        training=minilm.TRAINING,
        start=minilm.start_plan(steps=240),
        teacher=minilm.teacher_plan(apart=1500, together=0, pool=PoolPlan(members=60, candidates=600)),
        engagement=EngagementPlan(actions=ACTIONS, log=log, teacher=ClickModelPlan(places=8, rare=("apply",))),
        student=minilm.item_student_plan(steps=250, constructed=500, annotated_lists=250),
        sweep=minilm.sweep(steps=120),
        item_ablation=minilm.item_ablation(),
        evaluation=EvaluationPlan(
            floors={
                "relevance/crosswalk/ndcg@10": 0.85,
                "relevance/usajobs/ndcg@10": 0.55,
                "relevance/career_moves/auc": 0.7,
            },
            lists=150,
            teacher_lists=20,
            private_sources=frozenset({"career_moves"}),
        ),
        export=ExportPlan(card=CARD, examples=EXAMPLES, gpu_graph=False),
        decision=JOBS,
    )
