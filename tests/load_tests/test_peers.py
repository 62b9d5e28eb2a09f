"""The comparison of servers: ratios within a round, and each peer's command."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from load_tests.payloads import Dialect
from load_tests.peers.run import Turn, compare, parse, plan_of
from load_tests.peers.servers import chosen, cross_encoder, fitscore, infinity
from load_tests.report import Summary
from tests.support.bundles import write_tiny_bundle
from tests.support.split_bundles import write_split_bundle


def turn(pairs_per_s: float, latency_ms: float) -> Turn:
    """Latencies differ between saturation and half load, so that the test detects a mix-up."""

    def summary(ms: float) -> Summary:
        latencies = dict.fromkeys(("p50", "p90", "p99", "p99.9"), ms)
        return Summary(10, 5, {"200": 4, "503": 1}, latencies, latencies, 0.4, pairs_per_s)

    return Turn(summary(9 * pairs_per_s), summary(latency_ms), ())


def test_a_ratio_compares_servers_within_a_round_so_that_a_slow_round_cancels_out() -> None:
    ours = [turn(100, 10), turn(50, 20), turn(80, 10)]
    theirs = [turn(40, 30), turn(20, 60), turn(40, 30)]
    first, second = compare({"fitscore": ours, "naive": theirs})
    assert first["fitscore / server, pairs/s"] == 1.0
    assert second["fitscore / server, pairs/s"] == 2.5
    assert second["p99 ms"] == 30
    assert second["server / base, p50"] == 3.0
    assert second["ratio, min to max"] == "2.00 to 2.50"
    assert second["not 200"] == 6


def test_infinity_starts_offline_from_a_local_folder_with_its_torch_engine() -> None:
    server = infinity(Path("bin/infinity_emb"), Path("checkpoint"))
    command = list(server.command(1234))
    assert command[:4] == ["bin/infinity_emb", "v2", "--model-id", "checkpoint"]
    assert command[-1] == "1234"
    assert server.settings(1234)["HF_HUB_OFFLINE"] == "1"


def test_the_cross_encoder_starts_offline_and_truncates_as_the_others_do() -> None:
    server = cross_encoder(Path("bin/python"), Path("checkpoint"), 323)
    assert list(server.command(1234))[2:] == ["--checkpoint", "checkpoint", "--max-tokens", "323", "--port", "1234"]
    assert server.settings(1234)["HF_HUB_OFFLINE"] == "1"


def test_only_a_split_model_keeps_candidates_and_is_warmed(tmp_path: Path) -> None:
    split, flat = write_split_bundle(tmp_path / "split"), write_tiny_bundle(tmp_path / "flat")
    assert [fitscore("x", Path("python"), each.path).keeps_candidates for each in (split, flat)] == [True, False]


@pytest.mark.parametrize("dialect", ["score", "rerank"])
def test_all_servers_get_the_same_lists_in_the_same_order(dialect: Dialect) -> None:
    plan = plan_of(parse(["--fixed", "20", "--sizes", "5"]))
    sent = [[json.loads(one.body) for one in islice(plan.calls(dialect, 0), 3)] for _ in range(2)]
    assert sent[0] == sent[1]
    texts = [
        [each["text"] for each in one["candidates"]] if dialect == "score" else one["documents"] for one in sent[0]
    ]
    ours = [json.loads(one.body)["candidates"] for one in islice(plan.calls("score", 0), 3)]
    assert texts == [[each["text"] for each in one] for one in ours]


def test_the_first_server_is_the_base_of_the_ratios() -> None:
    options = parse(["--only", "shipped", "teacher", "naive", "--flat-teacher", "teacher"])
    assert chosen(options) == ["shipped", "teacher", "naive"]
    assert "teacher" not in chosen(parse([]))
