"""The products as Prometheus metrics, read at each scrape: labels are names of bundles, never content of requests."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from service.products.product import Products

MODEL = ["model"]


class ProductMetrics(Collector):
    """One series a product. The process's own metrics are the sums."""

    def __init__(self, products: Products) -> None:
        self._products = products

    def collect(self) -> Iterator[Metric]:
        yield self._live_models()
        requests = CounterMetricFamily(
            "fitscore_model_requests", "Scoring requests by product and outcome", labels=["model", "outcome"]
        )
        pairs = CounterMetricFamily(
            "fitscore_model_pairs", "Candidates by product and status", labels=["model", "status"]
        )
        seconds = CounterMetricFamily("fitscore_model_run_seconds", "Model time of scored requests", labels=MODEL)
        unfinished = GaugeMetricFamily(
            "fitscore_model_unfinished_seconds", "Predicted cost of admitted requests without an answer", labels=MODEL
        )
        waiting = GaugeMetricFamily(
            "fitscore_model_ahead_waiting", "Candidates in the background encoding queue", labels=MODEL
        )
        fill = GaugeMetricFamily(
            "fitscore_fill_candidates", "Candidates of the last fill by result", labels=["model", "result"]
        )
        filling = GaugeMetricFamily("fitscore_fill_running", "1 while a new version is filled", labels=MODEL)
        for product in self._products:
            progress = product.filling.progress
            for result in ("present", "filled", "unfilled"):
                fill.add_metric([product.name, result], getattr(progress, result) if progress else 0)
            filling.add_metric([product.name], product.filling.is_running)
            for outcome, num in product.counts.requests.items():
                requests.add_metric([product.name, outcome], num)
            for status, num in product.counts.pairs.items():
                pairs.add_metric([product.name, status], num)
            seconds.add_metric([product.name], product.counts.model_s)
            unfinished.add_metric([product.name], product.admission.share.unfinished_s)
            waiting.add_metric([product.name], product.encoding.background.waiting)
        yield from (requests, pairs, seconds, unfinished, waiting, fill, filling)

    def _live_models(self) -> Metric:
        family = InfoMetricFamily("fitscore_model", "The live model of each product")
        for product in self._products:
            live = product.models.current.live
            if live is not None:
                named = {"name": live.name, "version": live.version, "policy": live.policy or ""}
                family.add_metric([], {**named, "device": live.device, "precision": live.precision})
        return family
