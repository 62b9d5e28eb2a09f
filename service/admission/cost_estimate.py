"""What an order will cost, guessed from its sizes before any of it is read: admission must not wait for a tokenizer.

A wrong guess admits a little more or less, and never changes a score.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.template import Fields
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from service.request import ScoringRequest

# Of English job texts in WordPiece.
CHARS_PER_TOKEN = 4.5


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Predicted seconds of an order before anything of it is read: on the tokenizer's thread, then on the model.

    Between the encoding of its member and its scores it waits for the run that began meanwhile: `turn_s` at most.
    """

    prepare_s: float
    encode_s: float
    score_s: float
    turn_s: float = 0.0

    @property
    def model_s(self) -> float:
        """On the model in all."""
        return self.encode_s + self.score_s


def estimate_cost(model: LiveModel, order: ScoringRequest, now: float, text_s: float) -> CostEstimate:
    """What an order will cost at the operations' present pace, where reading a text takes `text_s`.

    A split model's candidates are taken to be known, since time decides how many others are encoded.
    """
    operations, encoder = model.operations, model.encoder
    prepare_s = text_s * (1 + len(order.candidates))
    if not isinstance(operations, SplitOperations):
        pairs_s = operations.batch_policy.total_cost(estimate_lengths(order, encoder.longest_pair))
        return CostEstimate(prepare_s, 0.0, pairs_s * operations.batch_policy.correction.factor(now))
    members, scores = operations.members.batch_policy, operations.scores.batch_policy
    member_s = members.unit_cost(_guess_tokens(order.member.content, encoder.longest_member))
    blocks_s = scores.total_cost(scores.split_evenly(len(order.candidates)))
    pace = members.correction.factor(now)
    return CostEstimate(
        prepare_s, member_s * pace, blocks_s * scores.correction.factor(now), members.max_batch_s * pace
    )


def estimate_lengths(order: ScoringRequest, longest: int) -> list[int]:
    """Tokens of each pair, guessed from its characters before anything is tokenised; `longest` where unknown."""
    member = _guess_tokens(order.member.content, longest)
    return [min(longest, member + _guess_tokens(each.content, longest)) for each in order.candidates]


def _guess_tokens(content: str | Fields | None, longest: int) -> int:
    if content is None:
        return longest
    chars = len(content) if isinstance(content, str) else sum(len(str(value)) for value in content.values())
    return min(longest, 2 + int(chars / CHARS_PER_TOKEN))
