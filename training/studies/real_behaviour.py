"""`python -m training.studies.real_behaviour`: the engagement teacher on real behaviour; measured, not shipped.

The data's licence is unknown. Career moves are split by member, views by time. No log of impressions exists, so there
are no positions to model and no rate to calibrate: negatives are sampled, and metrics say how a chosen job ranks among
others, not how often it is chosen. The encoder is frozen; the teacher is a head on its cached embeddings.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from models.template import FieldFormat, Template
from training.data.lists import CandidateList, Split, by_list, candidate_lists, render_lists
from training.data.source_files import SourceFiles
from training.evaluation.baselines import bm25_scores, embed_texts
from training.files import write_json
from training.metrics import ranking
from training.metrics.bootstrap import bootstrap
from training.objectives.position_bias import engagement_loss
from training.sources.career_moves import moves_by_member
from training.studies.frozen_head import Embeddings, FrozenMatch, frozen_objective, predict_frozen
from training.studies.job_views import next_views
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

TEMPLATE = Template(
    member=(FieldFormat(name="headline"), FieldFormat(name="experience")), candidate=(FieldFormat(name="title"),)
)
HEADS = ("move", "view")
MAX_TOKENS = 32
STEPS = (0, 50, 150, 400)
"""Training lengths to choose from on validation lists; 0 is the cosine itself."""
Scores = dict[str, list[np.ndarray]]


def measure(data: SourceFiles, out: Path) -> dict[str, Any]:
    """Train on the training split, choose the length on validation, and report on test, source by source."""
    out.mkdir(parents=True, exist_ok=True)
    lists = [
        *moves_by_member(data, per_member=1, negatives=30, seed=0),
        *next_views(data, per_member=1, negatives=20, seed=0),
    ]
    pairs = render_lists(lists, TEMPLATE, HEADS).with_columns(
        list_id=pl.concat_str("list_id", pl.lit("/"), _numbers(lists))
    )
    parts: dict[Split, list[CandidateList]] = {
        split: list(candidate_lists(pairs.filter(pl.col("split") == split), HEADS))
        for split in ("train", "valid", "test")
    }
    embeddings = _embeddings(pairs, str(data.path("minilm_l6_v2")), out)
    return {
        head: _measure_head(head, {split: _judged(part, head) for split, part in parts.items()}, embeddings, out)
        for head in HEADS
    }


def _numbers(lists: Sequence[Any]) -> pl.Series:
    """The number of each row's list: keeps several lists of one member apart."""
    return pl.Series(np.repeat(np.arange(len(lists)), [len(each.candidates) for each in lists])).cast(pl.String)


def _judged(lists: Sequence[CandidateList], head: str) -> list[CandidateList]:
    return [each for each in lists if not np.isnan(each.labels[head]).all()]


def _measure_head(
    head: str, parts: dict[Split, list[CandidateList]], embeddings: Embeddings, out: Path
) -> dict[str, Any]:
    models = {steps: _trained(head, parts["train"], embeddings, steps, out) for steps in STEPS}
    valid = {
        steps: np.nanmean(_metric(_predicted(model, embeddings, parts["valid"]), parts["valid"], head, "auc"))
        for steps, model in models.items()
    }
    best = max(valid, key=lambda steps: valid[steps])
    test = parts["test"]
    scores: Scores = {
        "bm25": bm25_scores(test),
        "cosine": _predicted(models[0], embeddings, test),
        "engagement teacher": _predicted(models[best], embeddings, test),
    }
    values = {
        name: {metric: _by_member(_metric(each, test, head, metric), test) for metric in ranking.METRICS}
        for name, each in scores.items()
    }
    teacher = values["engagement teacher"]
    return {
        "lists": {split: len(part) for split, part in parts.items()},
        "members": len(teacher["auc"]),
        "steps": best,
        "systems": {name: {m: _interval(row) for m, row in rows.items()} for name, rows in values.items()},
        "teacher_minus": {
            name: {metric: _interval(teacher[metric] - values[name][metric]) for metric in ranking.METRICS}
            for name in ("bm25", "cosine")
        },
    }


def _trained(head: str, train: Sequence[CandidateList], embeddings: Embeddings, steps: int, out: Path) -> FrozenMatch:
    torch.manual_seed(0)
    model = FrozenMatch(len(next(iter(embeddings.values()))), 1)
    if steps:
        schedule = Schedule(steps, 32, 1e-3, added_learning_rate=3e-3, checkpoint_every=10_000)
        loss = engagement_loss((head,), (), examination=None)
        fit(model, train, frozen_objective(model, embeddings, loss), schedule, out / f"{head}-{steps}")
    return model


def _predicted(model: FrozenMatch, embeddings: Embeddings, lists: Sequence[CandidateList]) -> list[np.ndarray]:
    logits = predict_frozen(model, embeddings, lists)[:, 0]
    return by_list(logits, lists)


def _metric(scores: list[np.ndarray], lists: Sequence[CandidateList], head: str, metric: str) -> np.ndarray:
    return ranking.evaluate_lists(ranking.METRICS[metric], scores, [each.labels[head] for each in lists])


def _by_member(values: np.ndarray, lists: Sequence[CandidateList]) -> np.ndarray:
    """The mean of each member's lists: the bootstrap resamples members, not single lists."""
    members = [each.list_id.rsplit("/", 1)[0] for each in lists]
    return pl.DataFrame({"m": members, "v": values}).group_by("m", maintain_order=True).mean()["v"].to_numpy()


def _interval(values: np.ndarray) -> dict[str, float]:
    return dataclasses.asdict(bootstrap(values))


def _embeddings(pairs: pl.DataFrame, backbone: str, out: Path) -> Embeddings:
    texts = sorted({*pairs["member"], *pairs["candidate"]})
    digest = hashlib.sha256("\n".join([backbone, str(MAX_TOKENS), *texts]).encode()).hexdigest()[:16]
    path = out / f"embeddings-{digest}.npy"
    if not path.exists():
        np.save(path, embed_texts(texts, backbone, MAX_TOKENS).astype(np.float16))
    return dict(zip(texts, np.load(path).astype(np.float32), strict=True))


def table(report: dict[str, Any]) -> str:
    """Markdown: a row per system and kind of behaviour, and the teacher's lead."""
    lines = ["| behaviour | system | AUC | NDCG@10 | MRR |", "|---|---|---|---|---|"]
    for head, found in report.items():
        rows = {**found["systems"], **{f"teacher minus {name}": lead for name, lead in found["teacher_minus"].items()}}
        for name, row in rows.items():
            lines.append(
                f"| {head} | {name} | " + " | ".join(f"{row[m]:.3f}" for m in ("auc", "ndcg@10", "mrr")) + " |"
            )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write `behaviour.json` to the folder and the table to stdout."""
    parser = argparse.ArgumentParser(prog="python -m training.studies.real_behaviour", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources")
    parser.add_argument("--out", type=Path, default=Path("runs/behaviour"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = measure(SourceFiles(options.data), options.out)
    write_json(options.out / "behaviour.json", report)
    sys.stdout.write(table(report))


if __name__ == "__main__":
    main()
