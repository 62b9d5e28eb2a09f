"""Reads /metrics in the Prometheus text format."""

from tests.support.service import Running


def series(text: str) -> dict[str, float]:
    """Name with labels -> value."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def read(running: Running) -> dict[str, float]:
    return series(running.client.get("/metrics").text)
