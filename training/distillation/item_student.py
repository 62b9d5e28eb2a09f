"""The student with slots of items, from grades and soft labels together: all heads at once, encoder and all.

Grades of judged lists and of constructed ones count as they are, and where a teacher labelled a pair its soft label
counts too. Actions have soft labels only. First the encoder is frozen, and every text encoded once; then its last
layers learn.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.heads import Calibration
from models.text import TextEncoder
from training.data.lists import CandidateList, by_list
from training.data.soft_labels import TOP_GRADE, SoftColumns, SoftLabels
from training.metrics.kappa import quadratic_kappa
from training.metrics.measures import exponential
from training.metrics.ranking import evaluate_lists, ndcg_at_10
from training.nets.cross_encoder import CrossEncoder, read_tokenizer
from training.nets.inference import to_tensors
from training.nets.item_scorer import COSINE_SHARE, expected_logits
from training.nets.items import separators_in
from training.nets.shapes import SplitShape
from training.nets.split_student import SplitStudent, new_split_student
from training.objectives.graded_batches import (
    Change,
    Weights,
    graded_batches,
    predict_steps,
    reader,
    remembering,
    train_upper_layers,
    unchanged,
)
from training.recipe import HeadNames, StudentPlan
from training.trainer.loop import Mixture, fit

DIRECTION_TEXTS = 120
FURTHER_COSINE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def lists_to_learn(
    graded: Sequence[CandidateList],
    constructed: Sequence[CandidateList],
    soft: Sequence[CandidateList],
    heads: HeadNames,
) -> tuple[list[CandidateList], list[CandidateList]]:
    """What a judge graded, with the soft labels (`training.data.soft_labels`) of the same lists beside the grades; and
    the further lists, constructed or with soft labels alone. All have the same labels.
    """
    of_teacher = {each.list_id: _with_soft_labels(each, heads) for each in soft}
    both = [replace(each, labels={**_soft_of(of_teacher, each), **each.labels}) for each in graded]
    judged = {each.list_id for each in graded}
    further = [*constructed, *(each for list_id, each in of_teacher.items() if list_id not in judged)]
    names = [name for output in heads.outputs for name in (output, f"{output}_soft")]
    first, second = (
        [replace(each, labels={n: each.labels.get(n, np.full(len(each), np.nan)) for n in names}) for each in some]
        for some in (both, further)
    )
    return first, second


def _soft_of(of_teacher: Mapping[str, CandidateList], graded: CandidateList) -> Mapping[str, np.ndarray]:
    found = of_teacher.get(graded.list_id)
    return found.labels if found and found.candidates == graded.candidates else {}


def _with_soft_labels(each: CandidateList, heads: HeadNames) -> CandidateList:
    labels: dict[str, np.ndarray] = {}
    for head in heads.all:
        soft = SoftLabels.of(each.labels, head)
        labels |= {head: soft.gold, f"{head}_soft": soft.probability}
        if head in heads.answerable:
            labels[f"{SoftColumns.of(head).answerable}_soft"] = soft.answerable
    return replace(each, labels=labels)


def direction_texts(lists: Sequence[CandidateList]) -> list[str]:
    """Some texts of both sides, whose states give the directions that matching starts with."""
    return [text for each in lists for text in (each.member, each.candidates[0])][:DIRECTION_TEXTS]


def start_student(
    start: CrossEncoder,
    tokenizer: str,
    shape: SplitShape,
    outputs: Sequence[str],
    texts: Sequence[str],
    *,
    cosine_share: float = COSINE_SHARE,
    seed: int = 0,
) -> SplitStudent:
    """A student with the encoder of `start`, whose cosine scores all heads; where there are items, a part of it the
    first one, because a cosine drowns what a pair's level and terms say.

    Some `texts` give matching its directions. `tokenizer` is the backbone's folder. What is new is drawn by `seed`.
    """
    tokenizer_json = read_tokenizer(tokenizer)
    model = CrossEncoder(copy.deepcopy(start.backbone), len(outputs))
    share_H = torch.tensor([not name.endswith(SoftColumns.of("").answerable) for name in outputs]).float()
    if shape.has_items:
        share_H = torch.tensor([cosine_share] + [0.0] * (len(outputs) - 1))
    with torch.no_grad():
        model.weight.copy_(share_H.unsqueeze(-1) * start.weight[0])
        model.bias.copy_(share_H * start.bias[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = new_split_student(model, shape, separators_in(tokenizer_json))
    if shape.has_items:
        encoder = TextEncoder(tokenizer_json, 128, 128)
        inputs = to_tensors(encoder.collate_sides(encoder.candidates(texts)), torch.device("cpu"))
        with torch.inference_mode():
            states = student.backbone(**inputs).last_hidden_state
        student.scorer.start_from(states[inputs["attention_mask"] == 1].float())
    return student


def learn(
    student: SplitStudent,
    encoder: TextEncoder,
    lists: Sequence[CandidateList],
    further: Sequence[CandidateList],
    outputs: Sequence[str],
    plan: StudentPlan,
    out: Path,
    *,
    seed: int = 0,
    one_logit: bool = False,
    change: Change = unchanged,
) -> SplitStudent:
    """Train in place: in `out/frozen` all but the encoder, then in `out/upper` its last layers too.

    `lists` are what a judge graded; of the `further` ones each step reads by the plan's share, so that grades are not
    lost among labels. `one_logit` and `change` are an ablation's.
    """
    weights = Weights(
        outputs=plan.output_weights,
        soft=1 / plan.gold_anchor,
        soft_lists=plan.soft_listwise,
        one_logit=one_logit,
    )
    mixture = Mixture(further, 0, plan.further_share) if further else None
    phases = (("frozen", 0, plan.phases.sides), ("upper", plan.trained_layers, plan.phases.pairs))
    for name, layers, schedule in phases:
        train_upper_layers(student, layers)
        read = change(reader(student, encoder) if layers else remembering(student, encoder))
        objective = graded_batches(student, encoder, outputs, weights, read)
        fit(student, lists, objective, replace(schedule, seed=seed), out / name, mixture=mixture)
    return student


@torch.no_grad()
def weigh_cosine(
    student: SplitStudent, start: CrossEncoder, encoder: TextEncoder, lists: Sequence[CandidateList], head: str
) -> dict[float, float]:
    """Add to the first output, in place, the share of the cosine of `start` that ranks these lists best.

    What the student learnt ranks texts like those that it learnt from; the cosine ranks any texts. Returns for each
    share of `FURTHER_COSINE` the NDCG@10 by the labels of `head` (gains 2^grade - 1), its mean over sources.
    """
    read, scorer = remembering(student, encoder), student.scorer
    own = scorer.weight[0].clone(), scorer.bias[0].clone()

    def take(share: float) -> None:
        scorer.weight[0] = own[0] + share * start.weight[0]
        scorer.bias[0] = own[1] + share * start.bias[0]

    def steps(share: float) -> torch.Tensor:
        take(share)
        return predict_steps(student, encoder, lists, read)[:, 0].cpu()

    without_NG, whole_NG = steps(0.0), steps(1.0)
    found = {
        share: _ranking_quality(expected_logits(torch.lerp(without_NG, whole_NG, share)).numpy(), lists, head)
        for share in FURTHER_COSINE
    }
    take(max(found, key=found.__getitem__))
    return found


def _ranking_quality(logits: np.ndarray, lists: Sequence[CandidateList], head: str) -> float:
    values = evaluate_lists(ndcg_at_10, by_list(logits, lists), [exponential(each.labels[head]) for each in lists])
    sources = np.array([each.source for each in lists])
    return float(np.mean([np.nanmean(values[sources == source]) for source in dict.fromkeys(sources)]))


def judged_kappas(
    names: Sequence[str], logits: np.ndarray, calibrations: Mapping[str, Calibration], lists: Sequence[CandidateList]
) -> dict[str, float]:
    """Quadratic kappa of each head's rounded expected grade with the judge's grades, from logits f32[pairs, names].

    Heads without two different grades have none, nor has what is 0 or 1.
    """
    found = {}
    for index, name in enumerate(names):
        gains = np.concatenate([each.labels[name] for each in lists])
        known = ~np.isnan(gains)
        grades = np.rint(gains[known] * TOP_GRADE).astype(int)
        stated = np.rint(calibrations[name].apply(logits[known, index]) * TOP_GRADE).astype(int)
        counts = np.zeros((TOP_GRADE + 1, TOP_GRADE + 1))
        np.add.at(counts, (grades, stated), 1)
        kappa = float(quadratic_kappa(counts))
        if not np.isnan(kappa) and not name.endswith(SoftColumns.of("").answerable):
            found[name] = round(kappa, 3)
    return found
