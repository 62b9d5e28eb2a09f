"""The prompted model as systems of the report, list by list, with scores that survive a run that is cut off.

Scores are kept beside the others as `NAME.jsonl`, a line a list; a list that has a line is not read again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from models.template import Template
from training.data.lists import FieldList
from training.data.tables import DataError
from training.evaluation.systems.interface import HeadScores
from training.policy.policy import OVERALL
from training.prompting.causal_lm import Answered, Asked, CausalLm
from training.prompting.prompts import Prompts

Method = Literal["likelihood", "yes-no"]
METHODS: tuple[Method, ...] = ("likelihood", "yes-no")


@dataclass(frozen=True)
class Kept:
    """One list's scores, the tokens read for them, and the CPU seconds of all threads."""

    list_id: str
    scores: list[float]
    tokens: int
    cpu_seconds: float


@dataclass
class PromptedScores:
    """Scores of one method; `file` keeps them. Model and prompts must be those of the file's earlier lines."""

    model: Callable[[], CausalLm]
    prompts: Prompts
    template: Template
    method: Method
    file: Path
    _kept: dict[str, Kept] = field(default_factory=dict)

    def score(self, lists: Sequence[FieldList]) -> HeadScores:
        """f64[pairs] under `overall`. Raises DataError for a kept line that cannot be used."""
        self._kept = {each.list_id: each for each in _read(self.file)}
        missing = [each for each in lists if each.list_id not in self._kept]
        if missing:
            model = self.model()
            with self.file.open("a", encoding="utf-8") as file:
                for each in tqdm(missing, desc=self.method, mininterval=5, leave=False):
                    found = self._score_list(model, each)
                    file.write(json.dumps(vars(found)) + "\n")
                    file.flush()
                    self._kept[each.list_id] = found
        for each in lists:
            if len(self._kept[each.list_id].scores) != len(each.candidates):
                raise DataError(f"{self.file}: list {each.list_id!r} has other candidates now: delete the file")
        return {OVERALL: np.concatenate([self._kept[each.list_id].scores for each in lists])}

    def cost(self, lists: Sequence[FieldList]) -> tuple[float, float]:
        """Tokens a pair, and pairs a CPU second, over these lists."""
        kept = [self._kept[each.list_id] for each in lists]
        pairs = sum(len(each.scores) for each in kept)
        return sum(each.tokens for each in kept) / pairs, pairs / sum(each.cpu_seconds for each in kept)

    def _score_list(self, model: CausalLm, each: FieldList) -> Kept:
        started = time.process_time()
        found = self._answered(model, each)
        return Kept(each.list_id, found.scores.tolist(), found.tokens, time.process_time() - started)

    def _answered(self, model: CausalLm, each: FieldList) -> Answered:
        member = model.cut(self.template.render_member(each.member), self.prompts.tokens)
        texts = [model.cut(self.template.render_candidate(one), self.prompts.tokens) for one in each.candidates]
        if self.method == "likelihood":
            return model.likelihoods([self.prompts.for_likelihood(member, text) for text in texts])
        asked: list[Asked] = [self.prompts.for_yes_no(member, text) for text in texts]
        return model.yes_probabilities(asked)


def _read(path: Path) -> Iterator[Kept]:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[-1]:  # a run that was killed left half a line: cut it off, or the next line would join it
        path.write_text("\n".join([*lines[:-1], ""]), encoding="utf-8")
    for row, line in enumerate(lines[:-1]):
        try:
            yield Kept(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: row {row}: not a line of scores ({type(error).__name__})") from error
