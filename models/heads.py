"""Heads: the outputs of a model, what they mean, and how a logit becomes a probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

# A manifest, which names heads, is read without numpy.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Calibration(BaseModel):
    """sigmoid(slope * logit + intercept): Platt scaling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of the same shape; NaN stays NaN."""
        import numpy as np

        exponent = np.clip(-(self.slope * logits.astype(np.float64) + self.intercept), -700, 700)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))


UNANSWERED = -1.0
"""In place of a probability: the texts of the pair do not say."""


class Head(BaseModel):
    """One output: its name on the wire, what its probability means, and its calibration.

    `answerable` calibrates a second output, the chance that the texts say at all. A head without it always answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    meaning: str
    calibration: Calibration = Calibration()
    answerable: Calibration | None = Field(None, exclude_if=lambda value: value is None)


def calibrate(heads: Sequence[Head], logits: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities [..., heads], or UNANSWERED where a pair more likely than not cannot be answered.

    `logits` [..., outputs] hold each head's value, then the `answerable` output of each head that has one.
    """
    import numpy as np

    columns = [head.calibration.apply(logits[..., index]) for index, head in enumerate(heads)]
    gated = [(index, head.answerable) for index, head in enumerate(heads) if head.answerable]
    for place, (index, gate) in enumerate(gated, start=len(heads)):
        columns[index] = np.where(gate.apply(logits[..., place]) < 0.5, UNANSWERED, columns[index])
    return np.stack(columns, axis=-1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class BestChunk:
    """How the chunks of a text make one row: the chunk with the highest `lead`, a head's place, counts.

    The best of n chunks is high by chance as well: the odds of `lead` are divided by n ** `discount`.
    """

    lead: int = 0
    discount: float = 0.0

    def rows(self, rows: NDArray[np.float32], counts: Sequence[int]) -> NDArray[np.float32]:
        """One row for each text, f32[texts, heads]; it has `counts` of the `rows` of chunks, f32[chunks, heads].

        A head that the best chunk leaves UNANSWERED is that of the next best one which answers. A text with a chunk
        that failed (NaN) is NaN.
        """
        import numpy as np

        if not len(counts):
            return rows
        texts = np.repeat(np.arange(len(counts)), counts)
        ranked = rows[np.lexsort((-rows[:, self.lead], texts))]
        starts = np.cumsum([0, *counts[:-1]])
        best: NDArray[np.float32] = ranked[starts]
        for text, head in np.argwhere(best == UNANSWERED).tolist():
            own = ranked[starts[text] : starts[text] + counts[text], head]
            best[text, head] = own[int((own != UNANSWERED).argmax())]
        number = np.asarray(counts)
        several = (number > 1) & (best[:, self.lead] != UNANSWERED)
        chance = best[several, self.lead].astype(np.float64)
        best[several, self.lead] = chance / (chance + (1 - chance) * number[several] ** self.discount)
        best[np.unique(texts[~np.isfinite(rows).all(axis=1)])] = np.nan
        return best


FIRST_HEAD = BestChunk()


def blended(rows: NDArray[np.float32], weights: Sequence[float]) -> NDArray[np.float64]:
    """Scores f64[pairs]: the mean by weight of the heads [pairs, heads] that answer. The weights add up to 1.

    It is 0 where no weighted head answers; NaN stays NaN. A score depends on its row alone, to the bit.
    """
    import numpy as np

    weighted: NDArray[np.float64] = np.asarray(weights, np.float64)
    total: NDArray[np.float64] | float = 1.0
    is_unanswered = rows == UNANSWERED
    if is_unanswered.any():
        weighted = np.where(is_unanswered, 0.0, weighted)
        known = np.where(is_unanswered.any(axis=1), weighted.sum(axis=1), 1.0)
        total = np.where(known > 0, known, 1.0)
    # No matrix product: how that adds up depends on the number of rows.
    return np.asarray((rows.astype(np.float64) * weighted).sum(axis=1) / total)
