"""Step `teach`: graded lists -> a teacher that answers every question of the policy about a pair of texts.

It learns from what a judge graded, mixed with constructed lists, whose grades follow from how they were made: first
from each text alone, then from both together. It keeps the weights that rank held-out members best. Several backbones
or seeds make an ensemble. Its agreement with the judge is written beside the judge's with itself.

    model/ calibration.json policy.txt    the teacher; its logit of each head to an expected gain; the policy's stamp
    agreement.json    quadratic kappa of each head: the teacher with the judge, the judge with itself
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.data.lists import SPLITS, CandidateList, Split, labelled_for, read_lists, some_of_each
from training.data.soft_labels import Answers, SoftColumns
from training.distillation.item_student import direction_texts
from training.files import write_json
from training.metrics.calibration import fit_calibrations
from training.metrics.kappa import Agreement, agreement
from training.metrics.measures import exponential
from training.metrics.ranking import evaluate_lists, ndcg_at_10
from training.nets.checkpoints import Ensemble, PolicyTeacher, load_policy_teacher, save_model, write_stamp
from training.nets.inference import predict_lists
from training.nets.item_scorer import Rule
from training.nets.llm_teacher import new_decoder, pair_prompt
from training.nets.pair_reader import PairReader, new_pair_reader
from training.objectives.ordinal import ordinal_loss
from training.objectives.pairwise import ListLoss, pair_objective
from training.policy.parser import read_policy
from training.policy.policy import RELEVANCE, Policy
from training.recipe import FindModel, TeacherPlan, TextPlan
from training.step_runner import Resources, Step
from training.steps.start import text_encoder
from training.trainer.distributed import SINGLE_PROCESS
from training.trainer.loop import Mixture, Validation, fit

SECOND = "second_opinion"


@dataclass(frozen=True)
class TeachPlan:
    """The recipe's graded heads, of which the first ranks, and how their teacher learns."""

    heads: tuple[str, ...]
    text: TextPlan
    teacher: TeacherPlan
    calibration_lists: int
    seed: int


@dataclass(frozen=True)
class TeachInputs:
    policy: Path
    data: Path
    start: Path


@dataclass(frozen=True)
class GradedLists:
    """What a teacher learns from and is measured on; labels are gains of `heads` and their `_answerable`.

    `once` are all judged lists, of which `second` has some pairs again.
    """

    heads: tuple[str, ...]
    train: list[CandidateList]
    valid: list[CandidateList]
    constructed: list[CandidateList]
    once: list[CandidateList]
    second: list[CandidateList]

    @classmethod
    def read(cls, heads: Sequence[str], policy: Policy, data: Path) -> GradedLists:
        """Lists of the judge, or of the recipe's adapters where there are none; without heads that nothing grades."""
        names = dict.fromkeys((*heads, *policy.dimension_names))
        answerable = [SoftColumns.of(name).answerable for name in policy.dimension_names]

        def of(name: str, *splits: Split) -> list[CandidateList]:
            found = (read_lists(data, [*names, *answerable], split, name) for split in splits)
            return [each for some in found for each in some if each.is_judged]

        judged = "judged" if of("judged", "train") else "pairs"
        once, second = of("judged", *SPLITS), of(SECOND, *SPLITS)
        found = cls((), of(judged, "train"), of(judged, "valid"), of("constructed", "train"), once, second)
        graded = (*found.train, *found.constructed)
        known = tuple(name for name in names if any(not np.isnan(each.labels[name]).all() for each in graded))
        return replace(found, heads=known)


def teach(plan: TeachPlan, inputs: TeachInputs, out: Path, resources: Resources) -> None:
    """Train the teacher, or take the trained one; write it, its calibration, agreement and the policy's stamp.

    Without graded heads there is no such teacher, and the stamp alone is written.
    """
    processes = resources.processes or SINGLE_PROCESS
    policy = read_policy(inputs.policy / "policy.md")
    if not plan.heads:
        if processes.is_main:
            write_stamp(out, policy)
        return
    lists = GradedLists.read(plan.heads, policy, inputs.data)
    encoder = text_encoder(plan.text, resources)
    if plan.teacher.trained:
        model = load_policy_teacher(plan.teacher.trained)
    else:
        seeds = range(plan.seed, plan.seed + plan.teacher.seeds)
        kinds = list(itertools.product(plan.teacher.backbones, seeds))
        folders = [out / f"member-{number}" for number in range(len(kinds))] if len(kinds) > 1 else [out]
        members = [
            _trained(plan, lists, inputs, folder, resources, seed, backbone)
            for folder, (backbone, seed) in zip(folders, kinds, strict=True)
        ]
        readers = [each for each in members if isinstance(each, PairReader)]
        model = Ensemble(readers) if len(readers) > 1 else members[0]

    valid = some_of_each(lists.valid, plan.calibration_lists, plan.seed)
    outputs = predict_lists(model, model.pair_encoder(encoder), valid)
    answers, valid = Answers.of(outputs), labelled_for(valid, model.heads)
    save_model(out, model, fit_calibrations(model.heads, answers.logits, valid), processes)
    if processes.is_main:
        write_json(out / "agreement.json", agreements(model.heads, answers, valid, lists))
        write_stamp(out, policy)


def _new_reader(
    plan: TeachPlan,
    lists: GradedLists,
    inputs: TeachInputs,
    resources: Resources,
    seed: int,
    pretrained: FindModel | None,
) -> PairReader:
    """From a pretrained backbone, or from the encoder of step `start`, which knows the product's words. Where all
    dimensions of the policy are among the heads, its rule has a say in the first one.
    """
    policy, teacher = read_policy(inputs.policy / "policy.md"), plan.teacher
    rule = Rule.of(policy) if lists.heads == (RELEVANCE, *policy.dimension_names) else None
    if pretrained:
        backbone, tokenizer = resources.model(pretrained), None
    else:
        backbone, tokenizer = str(inputs.start / "model"), resources.model(plan.text.backbone)
    reader = new_pair_reader(backbone, lists.heads, teacher.tokens, teacher.slots, rule, seed, tokenizer=tokenizer)
    return reader.start_from(direction_texts(lists.train))


def untrained_teacher(
    plan: TeachPlan,
    lists: GradedLists,
    inputs: TeachInputs,
    resources: Resources,
    seed: int,
    backbone: FindModel | None = None,
) -> PolicyTeacher:
    """The reader of pairs, or the decoder with the policy's questions in its prompt."""
    decoder = plan.teacher.decoder
    if decoder is None:
        return _new_reader(plan, lists, inputs, resources, seed, backbone)
    base, policy = resources.model(decoder.base), read_policy(inputs.policy / "policy.md")
    return new_decoder(base, pair_prompt(base, policy, plan.teacher.tokens), decoder.lora, lists.heads, seed)


def _trained(
    plan: TeachPlan,
    lists: GradedLists,
    inputs: TeachInputs,
    out: Path,
    resources: Resources,
    seed: int,
    backbone: FindModel | None,
) -> PolicyTeacher:
    """A teacher, or a member of one, with its best weights; a run that was cut off resumes in `out`."""
    teacher, processes = plan.teacher, resources.processes or SINGLE_PROCESS
    model = untrained_teacher(plan, lists, inputs, resources, seed, backbone)
    objective = pair_objective(model, model.pair_encoder(text_encoder(plan.text, resources)), loss_of(teacher, lists))
    if isinstance(model, PairReader):
        if teacher.apart:
            schedule = replace(teacher.apart, seed=seed)
            mixture = _mixture(teacher, lists, first=0)
            fit(model, lists.train, objective, schedule, out / "apart", mixture=mixture, processes=processes)
        model.read_together(wanted=teacher.schedule.steps > 0)
        if not model.is_together:
            return model
    fit(
        model,
        lists.train,
        objective,
        replace(teacher.schedule, seed=seed),
        out,
        mixture=_mixture(teacher, lists, first=teacher.constructed_steps),
        validation=_validation(plan, lists, model),
        lists_at_once=teacher.decoder.lists_at_once if teacher.decoder else None,
        processes=processes,
    )
    return model


def loss_of(teacher: TeacherPlan, lists: GradedLists) -> ListLoss:
    """Of the heads that the lists grade."""
    return ordinal_loss(
        lists.heads, teacher.weights, teacher.answerable_weight, teacher.pairs_weight, teacher.listwise_weight
    )


def _mixture(teacher: TeacherPlan, lists: GradedLists, *, first: int) -> Mixture | None:
    return Mixture(lists.constructed, first, teacher.constructed_share) if lists.constructed else None


def _validation(plan: TeachPlan, lists: GradedLists, model: PolicyTeacher) -> Validation | None:
    """By NDCG@10 of the first head on validation lists, which share no group (occupation, query) with training."""
    teacher = plan.teacher
    some = some_of_each(lists.valid, teacher.validation_lists, plan.seed)
    if not some:
        return None
    return Validation(
        measure=lambda: ranking_quality(model, some),
        every=teacher.validated_every,
        patience=teacher.patience,
        after=teacher.constructed_steps if lists.constructed else 0,
    )


def ranking_quality(model: PolicyTeacher, lists: Sequence[CandidateList]) -> float:
    """Mean NDCG@10 of the first head with gains 2^grade - 1; 0 where no list has a gain."""
    logits = Answers.of(predict_lists(model, model.encoder, lists)).logits[:, 0]
    scores = np.split(logits, np.cumsum([len(each) for each in lists])[:-1])
    gains = [exponential(each.labels[model.heads[0]]) for each in lists]
    values = evaluate_lists(ndcg_at_10, scores, gains)
    return float(np.nanmean(values)) if not np.isnan(values).all() else 0.0


def agreements(
    heads: Sequence[str], answers: Answers, valid: Sequence[CandidateList], lists: GradedLists
) -> dict[str, dict[str, object]]:
    """By head: quadratic kappa with the judge, of the teacher on `valid`, and of the judge's own second opinion."""
    gold, again = _by_pair(lists.once, heads), _by_pair(lists.second, heads)
    members = [each.member for each in valid for _ in each.candidates]
    found: dict[str, dict[str, object]] = {}
    for index, head in enumerate(heads):
        given = np.concatenate([each.labels[head] for each in valid]) if valid else np.zeros(0)
        expected = answers.at_least[:, index].sum(-1)
        teacher = _agreement(expected, 4 * given, members)
        both = [pair for pair in again if pair in gold]
        judge = _agreement(
            np.array([4 * again[pair][head] for pair in both]),
            np.array([4 * gold[pair][head] for pair in both]),
            [member for member, _ in both],
        )
        found[head] = {"teacher": teacher, "judge": judge}
    return found


def _by_pair(lists: Sequence[CandidateList], heads: Sequence[str]) -> dict[tuple[str, str], dict[str, float]]:
    return {
        (each.member, text): {head: float(each.labels[head][place]) for head in heads}
        for each in lists
        for place, text in enumerate(each.candidates)
    }


def _agreement(first: np.ndarray, second: np.ndarray, members: Sequence[str]) -> dict[str, object] | None:
    """Kappa of rounded grades with its interval; None where no pair has both."""
    both = np.flatnonzero(~np.isnan(first) & ~np.isnan(second)) if len(first) else np.zeros(0, dtype=int)
    if not len(both):
        return None
    rounded = [np.rint(grades[both]).astype(int).tolist() for grades in (first, second)]
    found: Agreement = agreement(rounded[0], rounded[1], [members[int(place)] for place in both])
    interval = {"kappa": found.kappa.mean, "low": found.kappa.low, "high": found.kappa.high}
    return {"pairs": found.pairs, "members": found.members, "exact": found.exact, **interval}


TEACH = Step(
    "teach",
    lambda recipe: TeachPlan(
        recipe.head_names.graded, recipe.text, recipe.teacher, recipe.training.calibration_lists, recipe.seed
    ),
    TeachInputs,
    teach,
    together=True,
    stamped=("policy",),
)
