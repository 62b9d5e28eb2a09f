"""What the store says of itself, in Prometheus' terms: read when asked for. No label comes from content."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.store.factory import Report


class StoreMetrics(Collector):
    """Registered once beside the other metrics; `report` is `Store.report`."""

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's `Collector`."""
        report = self._report()
        yield _gauge("candidate_store_up", "0 while the store cannot be reached", report.up)
        yield _gauge("candidate_store_entries", "Candidates stored", report.texts.entries)
        yield _gauge("candidate_store_bytes", "Bytes of stored candidates", report.texts.bytes)
        yield _gauge("slots_entries", "Candidates whose slots are kept", report.slots.entries)
        yield _gauge("slots_bytes", "Bytes of kept slots", report.slots.bytes)
        yield _gauge("slots_memory_bytes", "Bytes of slots in memory", report.memory.bytes)
        yield _counter("candidate_store_errors", "Times that the store was asked in vain", report.errors)
        yield _counter("candidate_store_damaged", "Entries read that were not what had been written", report.damaged)
        lookups = CounterMetricFamily("fitscore_slots_lookups", "Slots looked up, by where they were", labels=["found"])
        for found, count in (("memory", report.memory_hits), ("store", report.store_hits), ("nowhere", report.misses)):
            lookups.add_metric([found], count)
        yield lookups


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fitscore_{name}", what, value=value)


def _counter(name: str, what: str, value: int) -> Metric:
    return CounterMetricFamily(f"fitscore_{name}", what, value=value)
