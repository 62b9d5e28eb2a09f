"""Step `teach`: gold grades -> a teacher that reads pairs whole, calibrated on validation lists it did not train on.

A small encoder learns first with both sides apart, then in pairs; `sides/` keeps the model between the phases. On lists
without grades it imitates its pretrained backbone. A decoder, if the plan has one, replaces it in the second phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from models.text import TextEncoder
from training.data.lists import CandidateList, read_lists, some_of_each
from training.metrics.calibration import fit_calibrations
from training.nets.checkpoints import TeacherModel, made_once, save_model, write_stamp
from training.nets.cross_encoder import CrossEncoder, mix_in_backbone, new_cross_encoder, train_embeddings
from training.nets.inference import predict_lists
from training.nets.llm_teacher import Decoder, new_decoder, pair_prompt
from training.objectives.in_batch_negatives import contrast, imitate, rehearse
from training.objectives.losses import binary_kl, list_kl
from training.objectives.pairwise import ListLabels, ListLoss, pair_objective
from training.policy.parser import read_policy
from training.policy.policy import Policy
from training.recipe import DecoderPlan, TeacherPlan, TextPlan, TrainingPlan
from training.step_runner import Resources, Step
from training.steps.text_encoder import text_encoder
from training.trainer.distributed import SINGLE_PROCESS
from training.trainer.loop import TrainingStopped, fit


@dataclass(frozen=True)
class TeachPlan:
    """The graded heads, and how their teacher learns."""

    heads: tuple[str, ...]
    text: TextPlan
    training: TrainingPlan
    teacher: TeacherPlan
    seed: int


@dataclass(frozen=True)
class TeachInputs:
    policy: Path
    data: Path


def gold_loss(heads: Sequence[str], listwise_weight: float) -> ListLoss:
    """Binary KL to the gain of each pair, plus a listwise term; the mean over heads."""

    def loss(logits_LCH: Tensor, batch: ListLabels) -> Tensor:
        terms = []
        for index, head in enumerate(heads):
            logits_LC, targets_LC, mask_LC = logits_LCH[..., index], batch.targets[head], batch.masks[head]
            pointwise = binary_kl(logits_LC, targets_LC, mask_LC)
            terms.append(pointwise + listwise_weight * list_kl(logits_LC, targets_LC, mask_LC))
        return torch.stack(terms).mean()

    return loss


def teach(plan: TeachPlan, inputs: TeachInputs, out: Path, resources: Resources) -> None:
    """Train the teacher; write it, its calibration and the policy's stamp.

    Of many processes the main one alone does the first phase, which needs a whole batch in one place. All of them do
    the second, and each predicts all validation lists.
    """
    processes, decoder = resources.processes or SINGLE_PROCESS, plan.teacher.decoder
    if processes.is_sharded and not decoder:
        raise TrainingStopped("FSDP2 is for decoders: train a small encoder without it")
    policy = read_policy(inputs.policy / "policy.md")
    encoder = text_encoder(plan.text, resources, plan.text.training_tokens)
    train = read_lists(inputs.data, plan.heads, "train")
    valid = some_of_each(read_lists(inputs.data, plan.heads, "valid"), plan.training.calibration_lists, plan.seed)

    apart = partial(_train_apart, plan, resources.model(plan.text.backbone), encoder, train, out / "sides")
    small = made_once(out / "sides" / "model", apart, processes)
    model: TeacherModel = train_embeddings(small, plan.training.train_embeddings)
    if decoder:
        model = untrained_decoder(decoder, plan.heads, policy, resources, plan.seed)
    reads = model.pair_encoder(encoder)
    objective = pair_objective(model, reads, gold_loss(plan.heads, plan.training.listwise_weight))
    judged = [each for each in train if each.is_judged]
    at_once = decoder.lists_at_once if decoder else None
    fit(model, judged, objective, plan.teacher.phases.pairs, out, lists_at_once=at_once, processes=processes)
    save_model(out, model, fit_calibrations(plan.heads, predict_lists(model, reads, valid), valid), processes)
    if processes.is_main:
        write_stamp(out, policy)


def _train_apart(
    plan: TeachPlan, backbone: str, encoder: TextEncoder, train: Sequence[CandidateList], out: Path
) -> CrossEncoder:
    untouched = new_cross_encoder(backbone, len(plan.heads)).eval()
    model = train_embeddings(new_cross_encoder(backbone, len(plan.heads)), plan.training.train_embeddings)
    objective = rehearse(contrast(model, encoder, plan.heads), imitate(model, untouched, encoder))
    fit(model, train, objective, plan.teacher.phases.sides, out)
    return mix_in_backbone(model, backbone, plan.teacher.backbone_share)


def untrained_decoder(
    plan: DecoderPlan, heads: Sequence[str], policy: Policy, resources: Resources, seed: int
) -> Decoder:
    """The decoder with the policy and a question for each head in its prompt."""
    base = resources.model(plan.base)
    prompt = pair_prompt(base, policy, [plan.questions[head] for head in heads], plan.tokens)
    return new_decoder(base, prompt, plan.lora, seed)


TEACH = Step(
    "teach",
    lambda recipe: TeachPlan(recipe.head_names.graded, recipe.text, recipe.training, recipe.teacher, recipe.seed),
    TeachInputs,
    teach,
    together=True,
    stamped=("policy",),
)
