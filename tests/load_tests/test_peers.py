"""The comparison of servers: ratios within a round, and each peer's command."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from load_tests.payloads import Dialect
from load_tests.peers import onnx_pairs
from load_tests.peers.onnx_pairs import PairScorer, Place
from load_tests.peers.run import Turn, compare, concluded, parse, plan_of
from load_tests.peers.servers import batching, chosen, cross_encoder, fitscore, infinity
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


def row(name: str, ratio: float, not_200: int) -> dict[str, object]:
    return {"server": name, "fitscore / server, pairs/s": ratio, "not 200": not_200}


@pytest.mark.parametrize(
    ("theirs", "met", "sentence"),
    [
        (row("naive", 2.5, 0), True, "of the same model: met."),
        (row("naive", 1.5, 0), False, "missed over naive."),
        (row("naive", math.nan, 0), False, "missed over naive."),
        (row("naive", 2.5, 337), False, "**Not valid: naive**"),
        (row("shipped", 0.1, 0), True, "met."),
    ],
)
def test_a_server_that_left_requests_unanswered_is_not_measured(
    theirs: dict[str, object], met: bool, sentence: str
) -> None:
    result, text = concluded([row("fitscore", 1.0, 0), theirs], "fitscore", {"fitscore", "naive"}, 2.0)
    assert result["met"] is met
    assert result["void"] == (["naive"] if theirs["not 200"] else [])
    assert sentence in text


def test_ray_does_not_end_its_workers_because_others_use_memory() -> None:
    server = batching("ray", Path("/peers/bin/python"), "/-/healthz", Path("checkpoint"), 323)
    assert server.settings(1234)["RAY_memory_monitor_refresh_ms"] == "0"


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


@pytest.mark.parametrize("name", ["litserve", "mosec", "bentoml", "ray"])
def test_a_batching_peer_gets_the_common_graph_and_tokenizer(name: str) -> None:
    server = batching(name, Path("/peers/bin/python"), "/health", Path("checkpoint"), 323)
    settings, command = server.settings(1234), list(server.command(1234))
    assert settings["PEER_GRAPH"] == "checkpoint/model.onnx"
    assert (settings["PEER_MAX_TOKENS"], settings["PEER_PORT"]) == ("323", "1234")
    assert command[0].startswith("/peers/bin/")
    assert f"load_tests.peers.{name}_server" in " ".join(command)


@pytest.mark.parametrize("most", [1, 2, 128])
def test_a_batch_of_requests_is_scored_together_and_split_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Against the same pairs one by one: neither joining requests nor a bound on the pairs of a run changes a score."""
    monkeypatch.setattr(onnx_pairs, "MAX_PAIRS", most)
    write_tiny_bundle(tmp_path / "tiny")
    (graph,) = (tmp_path / "tiny").glob("*.onnx")
    place = Place(str(graph), str(tmp_path / "tiny" / "tokenizer.json"), 64, 0)
    requests = [
        {
            "member": {"text": "data engineer"},
            "candidates": [{"id": "a", "text": "chef"}, {"id": "b", "text": "nurse"}],
        },
        {"member": {"text": "chef"}, "candidates": [{"id": "c", "text": "senior data engineer python"}]},
    ]
    scorer = PairScorer(place)
    joined = scorer.answers(requests)
    assert [[one["id"] for one in scores(each)] for each in joined] == [["a", "b"], ["c"]]
    alone = [scorer.answers([each])[0] for each in requests]
    assert [one["score"] for each in joined for one in scores(each)] == pytest.approx(
        [one["score"] for each in alone for one in scores(each)]
    )


def scores(answer: dict[str, object]) -> list[dict[str, Any]]:
    found = answer["scores"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("dialect", ["score", "batch", "rerank"])
def test_all_servers_get_the_same_lists_in_the_same_order(dialect: Dialect) -> None:
    plan = plan_of(parse(["--fixed", "20", "--sizes", "5"]))
    sent = [[json.loads(one.body) for one in islice(plan.calls(dialect, 0), 3)] for _ in range(2)]
    assert sent[0] == sent[1]
    bodies = [one["requests"][0] if dialect == "batch" else one for one in sent[0]]
    texts = [
        one["documents"] if dialect == "rerank" else [each["text"] for each in one["candidates"]] for one in bodies
    ]
    ours = [json.loads(one.body)["candidates"] for one in islice(plan.calls("score", 0), 3)]
    assert texts == [[each["text"] for each in one] for one in ours]


def test_the_first_server_is_the_base_of_the_ratios() -> None:
    options = parse(["--only", "shipped", "teacher", "naive", "--flat-teacher", "teacher"])
    assert chosen(options) == ["shipped", "teacher", "naive"]
    assert "teacher" not in chosen(parse([]))
