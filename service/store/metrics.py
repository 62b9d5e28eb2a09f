"""The store's figures as Prometheus metrics, read at each scrape. No label comes from content."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.store.factory import StoreReport


class StoreMetrics(Collector):
    """A Prometheus collector; `report` is `Store.report`."""

    def __init__(self, report: Callable[[], StoreReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report()
        yield _gauge("candidate_store_up", "1 while the store answers, else 0", report.up)
        yield _gauge("candidate_store_entries", "Candidates stored", report.texts.entries)
        yield _gauge("candidate_store_bytes", "Bytes of stored candidates", report.texts.bytes)
        yield _gauge("slots_entries", "Candidates, or chunks of them, with stored slots", report.slots.entries)
        yield _gauge("slots_bytes", "Bytes of stored slots", report.slots.bytes)
        yield _gauge("slots_memory_bytes", "Bytes of slots in memory", report.memory.bytes)
        yield _counter("candidate_store_errors", "Failed calls to the store", report.errors)
        yield _counter("candidate_store_damaged", "Entries that failed their checksum when read", report.damaged)
        lookups = CounterMetricFamily(
            "fitscore_slots_lookups", "Slot lookups, by where the slots were found", labels=["found"]
        )
        for found, count in (("memory", report.memory_hits), ("store", report.store_hits), ("nowhere", report.misses)):
            lookups.add_metric([found], count)
        yield lookups


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fitscore_{name}", what, value=value)


def _counter(name: str, what: str, value: int) -> Metric:
    return CounterMetricFamily(f"fitscore_{name}", what, value=value)
