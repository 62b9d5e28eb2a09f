"""Step `evaluate`: every system on the same held-out lists, source by source, with bootstrap 95 % intervals.

Systems: BM25, the pretrained backbone's cosine, each head's teacher, the student, and the student's int8 graph, which
ships. Graded heads are measured on graded lists, actions on the log's. Writes `report.json`, `report.md` and, with the
texts of the worst errors, `report.html`. Then fails under the recipe's floors, or if the student may be worse than the
live bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.bundle.files import Bundle
from models.heads import Calibration
from models.loading import open_encoder, open_scorer
from models.text import TextEncoder
from training.compression.onnx_inference import graphs_of, open_graphs
from training.data.impressions import SHOWN, read_impressions
from training.data.lists import CandidateList, by_list, labelled_for, read_lists, some_of_each
from training.distillation.teachers import Teacher, read_teachers
from training.errors import UserError
from training.evaluation.baselines import bm25_scores, cosine_scores, ridge_scores
from training.evaluation.cached_logits import teacher_logits
from training.evaluation.fairness import audit
from training.evaluation.figures import Scores, counted, head_figures, metric_by_list
from training.evaluation.html_report import html
from training.evaluation.markdown_report import markdown
from training.evaluation.promotion_gate import NotPromoted, decide, find_live
from training.evaluation.report import (
    Ablation,
    Decision,
    LossWeightSweep,
    Report,
    ShapePoint,
    SwapReport,
    Variant,
    read_part,
    to_json,
)
from training.evaluation.worst_errors import WorstErrors, worst_errors
from training.files import write_json
from training.judging.judge_report import JudgeReport
from training.metrics.ranking import ndcg_at_10
from training.nets.checkpoints import Calibrations, Student, load_student
from training.recipe import EvaluationPlan, HeadNames, TextPlan
from training.step_runner import Resources, Step
from training.steps.start import text_encoder

SHIPPED = "student-int8"
SHOWN_ERRORS = 6


class FloorBroken(UserError):
    """A metric under the recipe's floor; the message names the metric, its value and the floor."""


@dataclass(frozen=True)
class EvaluatePlan:
    """What is evaluated, on which lists, and what the shipped graph must reach."""

    name: str
    heads: HeadNames
    text: TextPlan
    evaluation: EvaluationPlan
    seed: int


@dataclass(frozen=True)
class EvaluateInputs:
    judge: Path
    data: Path
    log: Path
    teach: Path
    teach_engagement: Path
    frontier: Path
    distill: Path
    ablate: Path
    compress: Path


@dataclass(frozen=True)
class Evaluated:
    """What is evaluated: the held-out lists, the models, and the folders of the steps that made them."""

    plan: EvaluatePlan
    encoder: TextEncoder
    inputs: EvaluateInputs
    lists: list[CandidateList]
    teachers: list[Teacher]
    student: Student
    calibrations: Calibrations


def evaluate(plan: EvaluatePlan, inputs: EvaluateInputs, out: Path, resources: Resources) -> None:
    """Write the report. Then raise FloorBroken for a low metric, NotPromoted if the live bundle may be better."""
    lists = some_of_each(_held_out(plan.heads, inputs), plan.evaluation.lists, plan.seed)
    teachers = read_teachers(plan.heads.actions, inputs.teach, inputs.teach_engagement)
    encoder = text_encoder(plan.text, resources)
    evaluated = Evaluated(plan, encoder, inputs, lists, teachers, *load_student(inputs.distill))
    scores = _scores(evaluated, resources.model(plan.text.backbone), resources.embeddings)
    report = _report(evaluated, scores, resources.live or find_live(resources.bundle.parent, plan.name))
    write_json(out / "report.json", to_json(Report, report))
    (out / "report.md").write_text(markdown(report), encoding="utf-8")
    page = html(f"Evaluation of {plan.name}", report, _worst_errors(evaluated, scores))
    (out / "report.html").write_text(page, encoding="utf-8")
    _check_floors(plan.evaluation.floors, report)
    if report.promotion and not report.promotion.promoted:
        raise NotPromoted(report.promotion.sentence)


def _held_out(heads: HeadNames, inputs: EvaluateInputs) -> list[CandidateList]:
    graded = read_lists(inputs.data, heads.graded, "test") if heads.graded else []
    logged = read_impressions(inputs.log / "impressions.parquet", heads.actions, "test")
    return labelled_for([*graded, *logged], (*heads.all, SHOWN))


def _scores(evaluated: Evaluated, backbone: str, cache: Path) -> dict[str, Scores]:
    """Of each head: every system's scores. The baselines have no heads: their scores are the same for all."""
    plan, lists = evaluated.plan, evaluated.lists
    taught = [_teacher_logits(evaluated, each, cache) for each in evaluated.teachers]
    graphs = {
        name: open_graphs(evaluated.student, evaluated.inputs.compress, precision, evaluated.encoder)
        for name, precision in (("student", "fp32"), (SHIPPED, "int8"))
    }
    by_system = {
        "teacher": np.concatenate(taught, axis=1),
        **{name: opened.logits(lists) for name, opened in graphs.items()},
    }
    baselines: Scores = {}
    if plan.evaluation.baselines:
        baselines = {"bm25": bm25_scores(lists), "cosine": cosine_scores(lists, backbone, max_tokens=256)}
    return {
        head: {
            **{name: by_list(logits[:, index], lists) for name, logits in by_system.items()},
            **baselines,
            **_ridge(evaluated, head),
        }
        for index, head in enumerate(plan.heads.all)
    }


def _ridge(evaluated: Evaluated, head: str) -> Scores:
    """A ridge regression beside the systems, for an action of a log of counts."""
    plan = evaluated.plan
    if not (plan.evaluation.baselines and head in plan.heads.actions and counted(evaluated.lists)):
        return {}
    train = read_impressions(evaluated.inputs.log / "impressions.parquet", plan.heads.actions, "train")
    return {"ridge": ridge_scores(train, evaluated.lists, head)}


def _teacher_logits(evaluated: Evaluated, teacher: Teacher, cache: Path) -> np.ndarray:
    """A teacher's logits on `teacher_lists` of each source that judges its heads; NaN on all other lists.

    Of the recipe's heads alone: the policy teacher answers for every dimension.
    """
    plan, lists = evaluated.plan, evaluated.lists
    heads = [head for head in plan.heads.all if head in teacher.heads]
    judged = [each for each in lists if any(not np.isnan(each.labels[head]).all() for head in heads)]
    some = some_of_each(judged, plan.evaluation.teacher_lists, plan.seed)
    logits = teacher.logits(teacher_logits(teacher.model, evaluated.encoder, some, cache))
    found = by_list(logits[:, [teacher.heads.index(head) for head in heads]], some)
    known = {each.list_id: logits for each, logits in zip(some, found, strict=True)}
    unread = {each.list_id: np.full((len(each), len(heads)), np.nan) for each in lists}
    return np.concatenate(list({**unread, **known}.values()))


def _report(evaluated: Evaluated, scores: Mapping[str, Scores], live: Path | None) -> Report:
    heads, inputs = evaluated.plan.heads, evaluated.inputs
    shares = inputs.distill / "shares.json"
    return Report(
        shipped=SHIPPED,
        heads={
            head: head_figures(head, evaluated.lists, scores[head], _calibrations(evaluated, head), SHIPPED)
            for head in heads.all
        },
        judge=read_part(JudgeReport, inputs.judge / "judge.json"),
        fairness=_audit(evaluated),
        frontier=read_part(list[ShapePoint], inputs.frontier / "frontier.json"),
        variants=read_part(list[Variant], inputs.compress / "variants.json"),
        shares=read_part(LossWeightSweep, shares) if shares.exists() else None,
        ablation=read_part(list[Ablation], inputs.ablate / "ablation.json"),
        promotion=_compare(live, heads.gains[0], evaluated.lists, scores) if live else None,
        graded=bool(heads.graded),
    )


def _calibrations(evaluated: Evaluated, head: str) -> dict[str, Calibration]:
    """Calibration of one head in each system that states probabilities."""
    student = evaluated.calibrations[head]
    teacher = next(each for each in evaluated.teachers if head in each.heads)
    return {"teacher": teacher.calibrations[head], "student": student, SHIPPED: student}


def _compare(live: Path, head: str, lists: Sequence[CandidateList], scores: Mapping[str, Scores]) -> Decision | None:
    """The student against the live bundle on the same lists; None if that bundle has no such head."""
    bundle = Bundle.load(live)
    names = [each.name for each in bundle.manifest.heads]
    if head not in names:
        return None
    logits = graphs_of(open_scorer(bundle, "cpu", 2), open_encoder(bundle)).logits(lists)
    shipped = np.concatenate(scores[head][SHIPPED])
    new, old = (metric_by_list(ndcg_at_10, head, each, lists) for each in (shipped, logits[:, names.index(head)]))
    return decide(live.name, new, old, [each.member for each in lists])


def _audit(evaluated: Evaluated) -> dict[str, SwapReport] | None:
    """Fairness of the first head of the shipped graphs, on some lists of each source."""
    plan = evaluated.plan
    if not plan.evaluation.audited_lists:
        return None
    calibration = evaluated.calibrations[plan.heads.gains[0]]
    graphs = open_graphs(evaluated.student, evaluated.inputs.compress, "int8", evaluated.encoder)
    audited = some_of_each(evaluated.lists, plan.evaluation.audited_lists, plan.seed)
    return audit(audited, lambda swapped: calibration.apply(graphs.logits(swapped)[:, 0]))


def _worst_errors(evaluated: Evaluated, scores: Mapping[str, Scores]) -> WorstErrors:
    plan, head = evaluated.plan, evaluated.plan.heads.gains[0]
    stated = [evaluated.calibrations[head].apply(values) for values in scores[head][SHIPPED]]
    return worst_errors(evaluated.lists, head, stated, private=plan.evaluation.private_sources, count=SHOWN_ERRORS)


def _check_floors(floors: Mapping[str, float], report: Report) -> None:
    for key, floor in floors.items():
        head, source, metric = key.split("/")
        found = report.heads[head].sources[source].systems[SHIPPED][metric].mean
        if not found >= floor:
            raise FloorBroken(f"{key} of the student's int8 graph is {found:.4f}, under the floor of {floor}")


EVALUATE = Step(
    "evaluate",
    lambda recipe: EvaluatePlan(recipe.name, recipe.head_names, recipe.text, recipe.evaluation, recipe.seed),
    EvaluateInputs,
    evaluate,
)
