"""The path of a request: estimate -> admit -> prepare -> run -> blend."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from service.admission.controller import Admission
from service.batching.engine import Engine, EngineDead
from service.batching.jobs import Job
from service.encoding.flat_inputs import FlatInputs
from service.encoding.inputs import Inputs
from service.encoding.parts import EncodingParts
from service.encoding.split_inputs import SplitInputs
from service.errors import NotReady
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from service.registry.swap import CurrentModel
from service.request import ScoringRequest
from service.scoring.blending import ScoringResult, blend, blend_weights, check_heads, refuse_part
from service.scoring.insistence import refuse_cut_texts, refuse_undeclared_features, refuse_unknown_fields

# What the pipeline and its wrappers (rollout, audit) offer.
Score = Callable[[ScoringRequest, Timings], Awaitable[ScoringResult]]


class ScoringPipeline:
    """Scores requests with the model that is live when they arrive."""

    def __init__(self, current: CurrentModel, admission: Admission, encoding: EncodingParts, engine: Engine) -> None:
        self._current = current
        self._admission = admission
        self._encoding = encoding
        self._engine = engine

    async def score(self, request: ScoringRequest, timings: Timings, model: LiveModel | None = None) -> ScoringResult:
        """Score a request with `model`, or else with the live model.

        Raises the errors of `service.errors`. Cancelling it cancels the request's jobs.
        """
        model = model or self._current.live
        if model is None:
            raise NotReady("no model is loaded yet", retry_after_s=1.0)
        arrived = time.monotonic()
        if any(each.features for each in request.candidates):
            refuse_undeclared_features(self._current.feature_names, request.candidates)
        weights = blend_weights(model, request.blend)
        check_heads(model, request.heads)
        if request.strict:
            refuse_unknown_fields(model.template, request)
        inputs: Inputs
        if isinstance(model.operations, SplitOperations):
            inputs = SplitInputs(model, model.operations, self._encoding)
        else:
            inputs = FlatInputs(model, model.operations, self._encoding)
        estimate = inputs.estimate(request, arrived)
        self._admission.admit(request, estimate, arrived)
        timings.lap("admit")
        try:
            prepared = await inputs.prepare(request, estimate, timings)
            if request.refuse_cut:
                refuse_cut_texts(prepared.readings)
            job = Job(
                prepared.operation,
                prepared.payloads,
                prepared.lengths,
                arrived=arrived,
                deadline=request.deadline,
                priority_penalty_s=request.priority_penalty_s,
            )
            result = await self._engine.submit(job)
        except EngineDead:
            raise NotReady("the model cannot run any more") from None
        finally:
            self._admission.share.release(estimate.work_s)
        timings.lap("queue")
        timings.split("queue", "model", result.model_s)
        scores = blend(model, prepared, result.outcomes, weights, len(request.candidates))
        ready_in_s = prepared.ready_in_s + self._engine.backlog_seconds() if request.whole else 0.0
        refuse_part(scores, ready_in_s, whole=request.whole)
        return scores
