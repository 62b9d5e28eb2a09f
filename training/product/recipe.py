"""`product.toml` -> the recipe that the steps run, as for every product that has a recipe in Python."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from models.template import Template
from training.data.pool import PoolPlan
from training.policy.parser import read_policy
from training.policy.policy import RELEVANCE, Policy
from training.product.lists import DataSettings, adapters
from training.product.live import training_of
from training.product.settings import ProductSettings, Training, read_settings
from training.product.start import start_encoder
from training.recipe import (
    ActionHeadsPlan,
    Card,
    ClickModelPlan,
    DataPlan,
    EngagementPlan,
    EvaluationPlan,
    ExportPlan,
    HeadPlan,
    Recipe,
    StartPlan,
    StudentPlan,
    TextPlan,
)
from training.recipes import minilm
from training.trainer.schedule import Phases, Schedule


def product_recipe(folder: Path) -> Recipe:
    """The recipe of a product's folder. Raises SettingsError or DocumentError."""
    settings = read_settings(folder)
    next_one = training_of(folder, settings)
    policy = read_policy(folder / settings.files.policy)
    data = DataSettings.of(settings)
    human, lists, log = adapters(data)
    text = settings.text
    training = settings.training
    template = Template(member=text.member, candidate=text.candidate)
    pool = PoolPlan(members=training.pool_members, hard=5, near=5, far=5)
    teacher = replace(
        minilm.teacher_plan(training.teacher_steps, together=training.teacher_steps // 4, pool=pool),
        # From the encoder of step `start`: a product names one model, and has no other on its disk.
        backbones=(None,),
        seeds=1,
        tokens=(text.member_tokens, text.candidate_tokens),
        validated_every=max(10, training.teacher_steps // 5),
        validation_lists=settings.evaluation.lists,
        pool=pool if training.pool_members else None,
    )
    return Recipe(
        name=settings.name,
        version=next_one.version,
        heads=_heads(settings, policy),
        text=TextPlan(
            template=template,
            member_tokens=text.member_tokens,
            candidate_tokens=text.candidate_tokens,
            backbone=partial(start_encoder, next_one.encoder),
        ),
        data=DataPlan(policy=folder / settings.files.policy, human_grades=human, lists=lists),
        training=minilm.TRAINING,
        start=_start(training),
        teacher=teacher,
        student=_student(training, has_grades=bool(settings.files.pairs)),
        evaluation=EvaluationPlan(
            floors=settings.evaluation.floors,
            baselines=settings.evaluation.baselines,
            lists=settings.evaluation.lists,
            teacher_lists=settings.evaluation.lists,
            audited_lists=settings.evaluation.fairness_lists,
            private_sources=frozenset(),
        ),
        export=ExportPlan(card=_card(settings, policy), examples=_examples(settings, policy)),
        engagement=_engagement(settings, log),
        seed=training.seed,
        features=settings.features,
    )


def _heads(settings: ProductSettings, policy: Policy) -> tuple[HeadPlan, ...]:
    actions = tuple(
        HeadPlan(name, f"chance that the member does this: {name}", float(not settings.files.pairs and name == first))
        for first in settings.log.actions[:1]
        for name in settings.log.actions
    )
    if not settings.files.pairs:
        return actions
    questions = {each.name: each.question for each in policy.dimensions}
    graded = tuple(HeadPlan(name, questions.get(name, name), 0.0) for name in settings.grades.dimensions)
    return (HeadPlan(RELEVANCE, f"how well the candidate fits, by {policy.label}", 1.0), *graded, *actions)


def _start(training: Training) -> StartPlan:
    plan = minilm.start_plan(training.start_steps)
    return replace(plan, schedule=_fitted(plan.schedule, training))


def _student(training: Training, *, has_grades: bool) -> StudentPlan:
    """A dot product; slots of items where only actions are learnt, which need not follow what a member asks for."""
    count = training.annotated_lists
    if has_grades:
        plan = minilm.student_plan(training.student_steps, annotated_lists=count)
    else:
        plan = minilm.item_student_plan(training.student_steps, constructed=None, annotated_lists=count)
        frozen = replace(minilm.FROZEN, steps=training.frozen_steps)
        plan = replace(plan, soft_listwise=1.0, phases=replace(plan.phases, sides=frozen))
    sides, pairs = (_fitted(each, training) for each in (plan.phases.sides, plan.phases.pairs))
    return replace(plan, phases=Phases(sides=sides, pairs=pairs))


def _fitted(schedule: Schedule, training: Training) -> Schedule:
    """The schedule, with no more lists a step than the product has."""
    return replace(schedule, lists_per_step=min(schedule.lists_per_step, training.lists_per_step))


def _engagement(settings: ProductSettings, log: partial) -> EngagementPlan | None:  # type: ignore[type-arg]
    if not settings.log.actions:
        return None
    training, places = settings.training, settings.log.places
    steps = training.engagement_steps
    rate = 3e-2 if settings.files.pairs else 1e-2  # appeal has as many weights as an embedding, and overfits sooner
    sides = Schedule(steps=400, lists_per_step=16, learning_rate=rate, added_learning_rate=rate)
    pairs = Schedule(steps=steps, lists_per_step=8, learning_rate=1e-5, added_learning_rate=1e-3)
    student = Schedule(steps=steps, lists_per_step=16, learning_rate=1e-3, added_learning_rate=3e-3)
    phases = Phases(sides=_fitted(sides, training), pairs=_fitted(pairs, training))
    return EngagementPlan(
        actions=settings.log.actions,
        log=log,
        teacher=ClickModelPlan(
            places=places or None,
            rare=settings.log.rare,
            # Positions explain an order too: where they count, the order of a list is not learnt as such.
            listwise_weight=0.0 if places or settings.files.pairs else 1.0,
            appeal=not settings.files.pairs,
            phases=phases,
        ),
        student=ActionHeadsPlan(schedule=_fitted(student, training), shares=()),
    )


def _card(settings: ProductSettings, policy: Policy) -> Card:
    files = settings.files
    named = [Path(each).name for each in (files.pairs, files.log, files.candidates) if each]
    return Card(
        title=settings.card.title,
        intended_use=settings.card.intended_use,
        limits=settings.card.limits,
        data=(f"The product's own files: {', '.join(named)}. Grades are of {policy.label}.",),
        attributions=settings.card.attributions,
        licence=settings.card.licence,
    )


def _examples(settings: ProductSettings, policy: Policy) -> tuple[tuple[dict[str, str], dict[str, str]], ...]:
    """Known answers come from the policy document: a bundle must not carry texts of members."""
    member = next((each.name for each in settings.text.member), "text")
    candidate = next((each.name for each in settings.text.candidate), "text")
    return tuple(
        ({member: each.member}, {candidate: each.candidate})
        for dimension in policy.dimensions[:2]
        for each in dimension.examples[:3]
    )
