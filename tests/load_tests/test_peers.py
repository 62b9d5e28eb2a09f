"""The comparison of servers: ratios are taken within a round, and all peers are started as stated."""

from __future__ import annotations

from pathlib import Path

from load_tests.peers.run import compare, infinity
from load_tests.report import Summary


def summary(pairs_per_s: float, latency_ms: float) -> Summary:
    latencies = dict.fromkeys(("p50", "p90", "p99", "p99.9"), latency_ms)
    return Summary(10, 5, {"200": 4, "503": 1}, latencies, latencies, 0.4, pairs_per_s)


def test_a_ratio_compares_servers_within_a_round_so_that_a_slow_round_cancels_out() -> None:
    ours = [summary(100, 10), summary(50, 20), summary(80, 10)]
    theirs = [summary(40, 30), summary(20, 60), summary(40, 30)]
    first, second = compare({"fitscore": ours, "naive": theirs})
    assert first["fitscore / it, pairs/s"] == 1.0
    assert second["fitscore / it, pairs/s"] == 2.5
    assert second["it / ours, p50"] == 3.0
    assert second["ratio, lowest to highest"] == "2.00 to 2.50"
    assert second["not 200"] == 3


def test_infinity_starts_offline_from_a_local_folder_with_its_torch_engine() -> None:
    server = infinity(Path("bin/infinity_emb"), Path("checkpoint"))
    command = list(server.command(1234))
    assert command[:4] == ["bin/infinity_emb", "v2", "--model-id", "checkpoint"]
    assert command[-1] == "1234"
    assert server.settings(1234)["HF_HUB_OFFLINE"] == "1"
