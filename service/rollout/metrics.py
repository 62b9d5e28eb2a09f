"""A rollout as Prometheus metrics, read at each scrape. The versions come from bundles; at most two of a
model are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.rollout.drift import drift
from service.rollout.router import RolloutRouter


class RolloutMetrics(Collector):
    """Reads the comparison of each product's router. With several products, each series has the label `model`."""

    def __init__(self, routers: Sequence[RolloutRouter]) -> None:
        self._routers = routers
        self._first = 0 if len(routers) > 1 else 1

    def collect(self) -> Iterator[Metric]:
        labels = ["model", "version", "stage"][self._first :]
        requests = CounterMetricFamily("fitscore_version_requests", "Requests during a rollout", labels=labels)
        failed = CounterMetricFamily("fitscore_version_failed", "Requests with a failed candidate", labels=labels)
        seconds = CounterMetricFamily("fitscore_version_model_seconds", "Model time of these requests", labels=labels)
        share = GaugeMetricFamily("fitscore_rollout_share", "Share of the traffic", labels=labels)
        psi = GaugeMetricFamily("fitscore_rollout_psi", "Drift of the candidate's scores (PSI)", labels=labels)
        for router in self._routers:
            comparison, live = router.comparison(), router.live
            if comparison is None or live is None:
                continue
            rollout = comparison.rollout
            candidate = [live.name, rollout.model.version, rollout.mode][self._first :]
            usual = [live.name, live.version, "live"][self._first :]
            for version, stats in ((usual, comparison.live), (candidate, comparison.candidate)):
                requests.add_metric(version, stats.requests)
                failed.add_metric(version, stats.failed)
                seconds.add_metric(version, stats.seconds)
            share.add_metric(candidate, rollout.share)
            if sum(comparison.live.bins) and sum(comparison.candidate.bins):
                psi.add_metric(candidate, drift(comparison.live.bins, comparison.candidate.bins))
        yield from (requests, failed, seconds, share, psi)
        yield CounterMetricFamily(
            "fitscore_rollouts_failed",
            "Rollouts ended by the guardrails",
            sum(router.num_faults for router in self._routers),
        )
