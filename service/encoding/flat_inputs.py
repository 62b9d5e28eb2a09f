"""Inputs of a cross-encoder: each pair of the member and a candidate is one payload."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from service.batching.jobs import CostEstimate, Operation
from service.encoding.inputs import Prepared
from service.encoding.parts import EncodingParts
from service.encoding.tokenization import estimate_tokens
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.request import ScoringRequest


@dataclass(frozen=True, slots=True)
class FlatInputs:
    """See `Inputs`."""

    model: LiveModel
    operation: Operation
    parts: EncodingParts

    def estimate(self, request: ScoringRequest, now: float) -> CostEstimate:
        policy, lengths = self.operation.batch_policy, estimate_lengths(request, self.model.encoder.longest_pair)
        score_s = policy.total_cost(lengths) * policy.correction.factor(now)
        return CostEstimate((1 + len(lengths)) * self.parts.tokenizer.text_s.factor(now), 0.0, score_s)

    async def prepare(self, request: ScoringRequest, estimate: CostEstimate, timings: Timings) -> Prepared:
        pairs = partial(self.parts.texts.pairs, self.model, self.operation, request.member, request.candidates)
        prepared = await self.parts.tokenizer.run(pairs, request, estimate)
        timings.lap("tokenize")
        return prepared


def estimate_lengths(request: ScoringRequest, longest: int) -> list[int]:
    """Tokens of each pair by its characters."""
    member = estimate_tokens(request.member, longest)
    return [min(longest, member + estimate_tokens(each, longest)) for each in request.candidates]
