"""Summaries of a run, against numbers computed by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from load_tests.report import Sample, json_line, quantile, record, summarise, table


def test_quantiles_use_the_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 0.999, 1.0)] == [1, 50, 99, 100, 100]
    assert quantile([7.0], 0.5) == 7
    assert math.isnan(quantile([], 0.5))


def test_latency_counts_from_the_intended_send_time() -> None:
    late = Sample(intended=1.0, sent=1.4, done=1.5, outcome="200", num_pairs=2, num_scored=2)
    summary = summarise([late], start=0, end=2)
    assert summary.latency_ms["p50"] == 500
    assert summary.slip_ms["p99"] == 400


def test_goodput_excludes_late_rejected_and_incomplete_answers() -> None:
    samples = [
        Sample(0.0, 0.0, 0.1, "200", 5, 5),
        Sample(0.1, 0.1, 0.9, "200", 5, 5),  # beyond the deadline
        Sample(0.2, 0.2, 0.3, "200", 5, 3),  # degraded
        Sample(0.3, 0.3, 0.4, "503", 5, 0),
        Sample(0.4, 0.4, 0.4, "dropped", 5, 0),
    ]
    summary = summarise(samples, start=0, end=2, deadline_s=0.5)
    assert summary.goodput_per_s == 0.5
    assert summary.pairs_per_s == pytest.approx(6.5)
    assert summary.outcomes == {"200": 3, "503": 1, "dropped": 1}


def test_the_warm_up_is_excluded_and_a_request_across_the_edge_counts_in_proportion() -> None:
    samples = [Sample(0.0, 0.0, 0.5, "200", 9, 9), Sample(0.5, 0.5, 1.5, "200", 10, 10)]
    summary = summarise(samples, start=1.0, end=2.0)
    assert summary.requests == 0
    assert summary.pairs_per_s == pytest.approx(5)


def test_the_json_line_has_its_provenance_and_no_nan() -> None:
    line = json_line("bench", {"value": math.nan, "rows": [{"ratio": 1.5}]})
    assert "\n" not in line
    result = json.loads(line)
    assert result["value"] is None
    assert result["rows"] == [{"ratio": 1.5}]
    assert {"command", "date", "commit", "machine"} <= set(result)


def test_runs_of_a_day_are_recorded_in_one_file_with_their_lines_unedited(tmp_path: Path) -> None:
    lines = [json_line("peers", {"value": value}) for value in (1, 2)]
    paths = {record(tmp_path / "new", line, "A table.") for line in lines}
    (path,) = paths
    assert path.name == f"{json.loads(lines[0])['date'][:10]}-peers.md"
    text = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in text if line.startswith("{")] == lines
    assert text.count("A table.") == 2
    assert sum(line.startswith("# ") for line in text) == 1


def test_a_table_has_a_header_and_a_line_per_row() -> None:
    assert table([{"name": "a", "pairs/s": 1234.5}]).splitlines() == [
        "| name | pairs/s |",
        "| --- | --- |",
        "| a | 1,234.50 |",
    ]
