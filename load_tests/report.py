"""Summarises the samples of a load run, as a Markdown table and a JSON line."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are seconds since the start of the run; `outcome` is an HTTP status, or why there is none."""

    intended: float
    sent: float
    done: float
    outcome: str
    num_pairs: int
    num_scored: int

    @property
    def latency(self) -> float:
        """From the intended send time, so that a stalled generator cannot hide a stalled server."""
        return self.done - self.intended

    @property
    def slip(self) -> float:
        """How late the load generator sent it."""
        return self.sent - self.intended


@dataclass(frozen=True, slots=True)
class Summary:
    """Latencies are of the requests answered 200, in milliseconds. Goodput counts only those within the deadline."""

    seconds: float
    requests: int
    outcomes: Mapping[str, int]
    latency_ms: Mapping[str, float]
    slip_ms: Mapping[str, float]
    goodput_per_s: float
    pairs_per_s: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and its target. Without a target it is always `ok`."""

    name: str
    value: float
    target: str = "-"
    ok: bool = True

    def row(self) -> dict[str, object]:
        """As a row of a table."""
        return {"figure": self.name, "value": round(self.value, 4), "target": self.target, "ok": self.ok}


def at_least(name: str, value: float, target: float) -> Figure:
    """A gate; NaN does not pass."""
    return Figure(name, value, f">= {target:g}", value >= target)


def at_most(name: str, value: float, target: float) -> Figure:
    """A gate; NaN does not pass."""
    return Figure(name, value, f"<= {target:g}", value <= target)


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least `share` of the values do not exceed; NaN without values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def quantiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """The four quantiles in milliseconds."""
    return {name: round(1000 * quantile(seconds, share), 3) for name, share in QUANTILES.items()}


def summarise(samples: Sequence[Sample], *, start: float, end: float, deadline_s: float | None = None) -> Summary:
    """Rates over `end - start` seconds. Latencies are of the requests whose intended send time is in this window.

    A request that spans an edge contributes its pairs in proportion: counting long lists whole or not at all would
    add noise.
    """
    due = [sample for sample in samples if start <= sample.intended < end]
    ok = [sample for sample in due if sample.outcome == "200"]
    limit = math.inf if deadline_s is None else deadline_s
    good = [sample for sample in ok if sample.latency <= limit and sample.num_scored == sample.num_pairs]
    scored = sum(sample.num_scored * _overlap(sample, start, end) for sample in samples)
    return Summary(
        seconds=round(end - start, 3),
        requests=len(due),
        outcomes=dict(sorted(Counter(sample.outcome for sample in due).items())),
        latency_ms=quantiles_ms([sample.latency for sample in ok]),
        slip_ms=quantiles_ms([sample.slip for sample in due if sample.outcome != "dropped"]),
        goodput_per_s=round(len(good) / (end - start), 3),
        pairs_per_s=round(scored / (end - start), 2),
    )


def _overlap(sample: Sample, start: float, end: float) -> float:
    """Share of the request's time between sending and answer that lies within `start` and `end`."""
    inside = min(sample.done, end) - max(sample.sent, start)
    return max(inside, 0) / max(sample.done - sample.sent, 1e-9)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table; the columns are the keys of the first row."""
    columns = list(rows[0])
    cells = [columns, ["---"] * len(columns), *([_cell(row[column]) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def json_line(command: str, result: Mapping[str, object]) -> str:
    """One compact line: what ran, where, when, at which commit, and the result. NaN becomes null."""
    document = {"command": command, **provenance(), **result}
    return json.dumps(_finite(document), separators=(",", ":"), allow_nan=False)


def record(folder: Path, line: str, text: str) -> Path:
    """Add a run to `DATE-COMMAND.md`: how it was started, its text, and its unedited line from `json_line`."""
    run = json.loads(line)
    date, command, arguments = run["date"][:10], run["command"], " ".join(run["arguments"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{date}-{command}.md"
    before = path.read_text(encoding="utf-8") if path.exists() else f"# {command}, {date}\n"
    about = f"Commit {run['commit']}, {run['machine']}, Python {run['python']}, load average {run['load_average']}."
    how = f"## At {run['date'][11:16]}\n\n`make {command} ARGS='{arguments}'`. {about}"
    path.write_text(f"{before}\n{how}\n\n{text}\n\n{line}\n", encoding="utf-8")
    return path


def provenance() -> dict[str, object]:
    """Machine, date and commit: a measurement means nothing without them."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "arguments": sys.argv[1:],
        "load_average": round(os.getloadavg()[0], 2),
    }


def _commit() -> str:
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:,.2f}"
    return str(value)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
