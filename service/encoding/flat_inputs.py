"""Inputs of a cross-encoder: each pair of the member and a candidate is one payload."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from models.text import TextEncoder
from service.batching.jobs import CostEstimate, Operation
from service.encoding.inputs import Prepared
from service.encoding.parts import EncodingParts
from service.encoding.tokenization import estimate_chunks, estimate_tokens
from service.errors import TooMany
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.request import ScoringRequest

# The fraction of the time left that a request whose scores must be whole may need by prediction: predictions err.
USABLE_FRACTION = 0.8


@dataclass(frozen=True, slots=True)
class FlatInputs:
    """See `Inputs`."""

    model: LiveModel
    operation: Operation
    parts: EncodingParts

    def estimate(self, request: ScoringRequest, now: float) -> CostEstimate:
        """See `Inputs`. Raises TooMany if the scores must be whole and there are too many for the time left."""
        policy, lengths = self.operation.batch_policy, estimate_lengths(request, self.model.encoder)
        num = len(request.candidates)
        score_s = policy.total_cost(lengths) * policy.correction.factor(now)
        prepare_s = (1 + num) * self.parts.tokenizer.text_s.factor(now)
        if request.whole:
            _check_whole(num, prepare_s + score_s, USABLE_FRACTION * (request.deadline - now))
        return CostEstimate(prepare_s, 0.0, score_s)

    async def prepare(self, request: ScoringRequest, estimate: CostEstimate, timings: Timings) -> Prepared:
        pairs = partial(self.parts.texts.pairs, self.model, self.operation, request)
        prepared = await self.parts.tokenizer.run(pairs, request, estimate)
        timings.lap("tokenize")
        return prepared


def _check_whole(num: int, cost_s: float, usable_s: float) -> None:
    """Nothing of a pair can be computed ahead, so a later try would take as long."""
    if cost_s > usable_s > 0:
        raise TooMany(f"about {int(num * usable_s / cost_s)} documents of this length fit into the deadline")


def estimate_lengths(request: ScoringRequest, encoder: TextEncoder) -> list[int]:
    """Tokens of each pair by its characters; a long candidate has a pair for each of its chunks."""
    longest = encoder.longest_pair
    member = estimate_tokens(request.member, longest)
    lengths: list[int] = []
    for each in request.candidates:
        length = min(longest, member + estimate_tokens(each, longest))
        lengths += [length] * estimate_chunks(each, encoder)
    return lengths
