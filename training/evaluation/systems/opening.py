"""Opens what a path holds as a system: a bundle, a teacher's folder, or a file of scores.

`{fold}` in a path names one model for each fold of the queries; each list is then scored by the model that has not
seen its fold.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.bundle.files import MANIFEST
from models.template import Fields
from training.data.lists import FieldList
from training.errors import UserError
from training.evaluation.systems.bundles import bundle_system
from training.evaluation.systems.interface import HeadScores, Kind, System
from training.evaluation.systems.stored import stored_system
from training.evaluation.systems.teachers import teacher_system
from training.recipe import Recipe

FOLD = "{fold}"
Fold = Callable[[Fields], int]


class NoSystem(UserError):
    """A path that holds nothing that scores; the message names it."""


def open_system(path: str, name: str, kind: Kind, recipe: Recipe, backbone: Path | None, *, seed: int = 0) -> System:
    """The system at `path`. Raises NoSystem, or the error of what is there but cannot be used."""
    if FOLD in path:
        if recipe.decision is None or recipe.decision.fold is None:
            raise NoSystem(f"{path}: recipe {recipe.name!r} has no folds for cross-fitted models")
        return _cross_fitted(path, name, kind, recipe, backbone, recipe.decision.fold, seed=seed)
    found = Path(path)
    if (found / MANIFEST).exists():
        return bundle_system(found, name, kind, seed=seed)
    if found.suffix == ".parquet" and found.exists():
        return stored_system(found, name, kind, seed=seed)
    if (found / "model").is_dir():
        if backbone is None:
            raise NoSystem(f"{found}: a teacher needs the tokenizer of its backbone, which is not in --data")
        return teacher_system(found, name, kind, recipe, backbone, seed=seed)
    raise NoSystem(f"{found}: no bundle ({MANIFEST}), no teacher (a folder `model`) and no .parquet of scores")


def _cross_fitted(
    path: str, name: str, kind: Kind, recipe: Recipe, backbone: Path | None, fold: Fold, *, seed: int
) -> System:
    count = 0
    while Path(path.replace(FOLD, str(count))).exists():
        count += 1
    if not count:
        raise NoSystem(f"{path.replace(FOLD, '0')}: there is no model of the first fold")
    parts = [
        open_system(path.replace(FOLD, str(each)), name, kind, recipe, backbone, seed=seed) for each in range(count)
    ]

    def score(lists: Sequence[FieldList]) -> HeadScores:
        return score_by_fold(lists, parts, fold)

    identity = hashlib.sha256(" ".join(each.identity for each in parts).encode()).hexdigest()
    return dataclasses.replace(parts[0], score=score, identity=identity if all(p.identity for p in parts) else "")


def score_by_fold(lists: Sequence[FieldList], parts: Sequence[System], fold: Fold) -> HeadScores:
    """Each list by the model of its fold. Raises NoSystem for a fold without a model."""
    folds = [fold(each.member) for each in lists]
    if folds and max(folds) >= len(parts):
        raise NoSystem(f"{parts[0].name}: fold {max(folds)} has no model; there are {len(parts)}")
    scores: list[HeadScores] = [{} for _ in lists]
    for number, part in enumerate(parts):
        rows = [row for row, found in enumerate(folds) if found == number]
        if not rows:
            continue
        whole, start = part.score([lists[row] for row in rows]), 0
        for row in rows:
            end = start + len(lists[row].candidates)
            scores[row] = {head: values[start:end] for head, values in whole.items()}
            start = end
    return {head: np.concatenate([each[head] for each in scores]) for head in (scores[0] if scores else ())}
