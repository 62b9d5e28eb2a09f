"""A rollout as Prometheus metrics, read at each scrape. The versions come from bundles; at most two are shown."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.registry.swap import CurrentModel
from service.rollout.drift import drift
from service.rollout.router import RolloutRouter


class RolloutMetrics(Collector):
    """Reads the router's comparison."""

    def __init__(self, router: RolloutRouter, current: CurrentModel) -> None:
        self._router = router
        self._current = current

    def collect(self) -> Iterator[Metric]:
        labels = ["version", "stage"]
        requests = CounterMetricFamily("fitscore_version_requests", "Requests during a rollout", labels=labels)
        failed = CounterMetricFamily("fitscore_version_failed", "Requests with a failed candidate", labels=labels)
        seconds = CounterMetricFamily("fitscore_version_model_seconds", "Model time of these requests", labels=labels)
        share = GaugeMetricFamily("fitscore_rollout_share", "Share of the traffic", labels=labels)
        psi = GaugeMetricFamily("fitscore_rollout_psi", "Drift of the candidate's scores (PSI)", labels=labels)
        comparison, live = self._router.comparison(), self._current.live
        if comparison is not None and live is not None:
            rollout = comparison.rollout
            candidate = [rollout.model.version, rollout.mode]
            for version, stats in (([live.version, "live"], comparison.live), (candidate, comparison.candidate)):
                requests.add_metric(version, stats.requests)
                failed.add_metric(version, stats.failed)
                seconds.add_metric(version, stats.seconds)
            share.add_metric(candidate, rollout.share)
            if sum(comparison.live.bins) and sum(comparison.candidate.bins):
                psi.add_metric(candidate, drift(comparison.live.bins, comparison.candidate.bins))
        yield from (requests, failed, seconds, share, psi)
        yield CounterMetricFamily(
            "fitscore_rollouts_failed", "Rollouts ended by the guardrails", self._router.num_faults
        )
