"""Compares Fitscore and its peers under the same load, in turn over several rounds (A B A B).

All servers get the same requests in the same order, each in its own environment and alone: first saturated, then with
Poisson arrivals at half of its capacity. Servers of the same model first score one list, and the run fails unless they
agree. `--only` selects the servers; the first one is the base of the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from load_tests.client import Connections
from load_tests.open_loop import Limits, arrivals, closed_loop, mix_of, open_loop
from load_tests.payloads import PATHS, Call, Dialect, call
from load_tests.peers.environments import ROOT
from load_tests.peers.servers import NAMES, Server, servers_of
from load_tests.report import Summary, json_line, record, summarise, table
from load_tests.server import DEADLINE_MS, free_port, running
from load_tests.traffic import Mix, RankingRequest, first
from load_tests.warm_lists import HALF, WarmTraffic, warm

AGREEMENT = 1e-3
NUM_LISTS = 400


@dataclass(frozen=True)
class Plan:
    """The load of each turn. `calls(dialect, part)` are the same for all servers; a server that keeps candidates is
    warmed with those of `warm`.
    """

    calls: Callable[[Dialect, int], Iterable[Call]]
    warm: WarmTraffic | None
    clients: int
    warm_s: float
    seconds: float
    seed: int


@dataclass(frozen=True)
class Turn:
    """One server's results in one round, and its scores of the probe."""

    saturated: Summary
    half: Summary
    scores: Sequence[float]


async def turn(server: Server, plan: Plan, probe: RankingRequest) -> Turn:
    """Start the server, score `probe`, saturate it, load it at half of its capacity, stop it."""
    port = free_port()
    end, limits = plan.warm_s + plan.seconds, Limits(timeout_s=DEADLINE_MS / 1000)
    async with running(server.command(port), port, server.ready_path, environment=server.settings(port)) as url:
        scores = await scores_of(url, server.dialect, probe)
        if plan.warm and server.keeps_candidates:
            await warm(url, plan.warm)
        samples = await closed_loop(url, plan.calls(server.dialect, 0), plan.clients, end, limits)
        saturated = summarise(samples, start=plan.warm_s, end=end)
        if not saturated.pairs_per_s:
            raise RuntimeError(f"{server.name} scored nothing: {dict(saturated.outcomes)}")
        lists_per_s = saturated.pairs_per_s / statistics.mean(sample.num_pairs for sample in samples)
        times = arrivals(HALF * lists_per_s, end, plan.seed)
        samples = await open_loop(url, plan.calls(server.dialect, 1), times, limits)
    return Turn(saturated, summarise(samples, start=plan.warm_s, end=end), scores)


async def scores_of(url: str, dialect: Dialect, probe: RankingRequest) -> list[float]:
    """Scores in the order of the candidates."""
    request = call(probe, dialect, DEADLINE_MS)
    async with Connections(url) as connections:
        answer = await connections.post(request.path, request.body)
    if answer.status != 200:
        raise RuntimeError(f"{url}{request.path} answered {answer.status}: {answer.body[:200]!r}")
    document = json.loads(answer.body)
    if dialect == "batch":
        (document,) = document
    if dialect != "rerank":
        return [entry["score"] for entry in document["scores"]]
    ordered = sorted(document["results"], key=lambda entry: int(entry["index"]))
    return [entry["relevance_score"] for entry in ordered]


async def measure(
    servers: Sequence[Server], plan: Plan, probe: RankingRequest, rounds: int
) -> tuple[dict[str, list[Turn]], float]:
    """All rounds, and the largest difference between the scores of servers with the same model."""
    found: dict[str, list[Turn]] = {server.name: [] for server in servers}
    reference: Sequence[float] = ()
    worst = 0.0
    for number in range(rounds):
        for server in servers:
            one = await turn(server, plan, probe)
            found[server.name].append(one)
            print(
                f"round {number + 1} {server.name}: {one.saturated.pairs_per_s} pairs/s {one.saturated.outcomes},"
                f" p99 at half load {one.half.latency_ms['p99']} ms",
                file=sys.stderr,
            )
            if server.same_model:
                reference = reference or one.scores
                worst = max(worst, *(abs(a - b) for a, b in zip(reference, one.scores, strict=True)))
        if worst > AGREEMENT:
            raise RuntimeError(f"servers of the same model differ by {worst:.2e}: their weights or texts differ")
    return found, worst


def compare(found: Mapping[str, Sequence[Turn]]) -> list[dict[str, object]]:
    """One row a server. Ratios to the first server are medians over the rounds. Rates are at saturation, latencies at
    half load.
    """
    names = list(found)
    rows: list[dict[str, object]] = []
    for name in names:
        pairs = list(zip(found[names[0]], found[name], strict=True))
        ratios = [base.saturated.pairs_per_s / each.saturated.pairs_per_s for base, each in pairs]
        rows.append({
            "server": name,
            "pairs/s": statistics.median(each.saturated.pairs_per_s for _, each in pairs),
            "p50 ms": statistics.median(each.half.latency_ms["p50"] for _, each in pairs),
            "p99 ms": statistics.median(each.half.latency_ms["p99"] for _, each in pairs),
            "requests": sum(each.half.requests for _, each in pairs),
            f"{names[0]} / server, pairs/s": round(statistics.median(ratios), 3),
            "ratio, min to max": f"{min(ratios):.2f} to {max(ratios):.2f}",
            "server / base, p50": _latency_ratio(pairs, "p50"),
            "server / base, p99": _latency_ratio(pairs, "p99"),
            "not 200": sum(map(_not_200, found[name])),
            "slip p99 ms": max(each.half.slip_ms["p99"] for _, each in pairs),
        })  # fmt: skip
    return rows


def _latency_ratio(pairs: Sequence[tuple[Turn, Turn]], name: str) -> float:
    ratios = [each.half.latency_ms[name] / base.half.latency_ms[name] for base, each in pairs]
    return round(statistics.median(ratios), 3)


def _not_200(turn: Turn) -> int:
    return sum(each.requests - each.outcomes.get("200", 0) for each in (turn.saturated, turn.half))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.peers.run", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="Hugging Face folder of a BERT cross-encoder; default: random weights",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=ROOT / "models" / "jobs-v1",
        help="the shipped bundle, whose tokenizer all servers use",
    )
    parser.add_argument("--layers", type=int, default=6, help="layers of the random checkpoint")
    parser.add_argument("--flat-teacher", type=Path, help="the teacher's bundle: see load_tests/teacher_bundle.py")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="servers, in this order; default: all")
    parser.add_argument(
        "--fixed",
        type=int,
        help="draw lists from this many candidates, warm for a split model; default: the mix",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--warm-seconds", type=float, default=8.0)
    parser.add_argument("--sizes", type=int, nargs="+", help="list sizes, equally often; default: the mix")
    parser.add_argument("--candidate-words", type=float, default=Mix().candidate_words, help="median length")
    parser.add_argument("--sigma", type=float, default=Mix().sigma, help="sigma of the log-normal lengths; 1 is wide")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=2.0, help="minimum ratio to each peer of the same model")
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "load_tests" / "results",
        help="folder of the dated file that gets the run",
    )
    return parser.parse_args(argv)


def plan_of(options: argparse.Namespace) -> Plan:
    """The load that the options describe."""
    mix = replace(mix_of(options.sizes, options.seed), candidate_words=options.candidate_words, sigma=options.sigma)
    if options.fixed:
        traffic = WarmTraffic(options.fixed, mix)
        return Plan(
            lambda dialect, part: traffic.calls(part, dialect),
            traffic, options.clients, options.warm_seconds, options.seconds, options.seed,
        )  # fmt: skip
    lists = first(mix, NUM_LISTS)
    ready = {dialect: [call(request, dialect, DEADLINE_MS) for request in lists] for dialect in PATHS}
    return Plan(
        lambda dialect, part: ready[dialect],
        None, options.clients, options.warm_seconds, options.seconds, options.seed,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when the ratio to a peer of the same model is below `--target`, or a server did not answer."""
    options = parse(argv)
    servers = servers_of(options)
    # Short texts: servers truncate longer ones differently.
    (probe,) = first(Mix(sizes=(8,), size_weights=(1,), member_words=10, candidate_words=15, longest_words=40), 1)
    found, worst = asyncio.run(measure(servers, plan_of(options), probe, options.rounds))
    rows = compare(found)
    base = servers[0].name
    result, text = concluded(rows, base, {server.name for server in servers if server.same_model}, options.target)
    line = json_line("peers", {**result, "score_difference": worst, "servers": rows})
    print(f"{text}\n{line}")
    print(f"written to {record(options.results, line, text)}", file=sys.stderr)
    return 0 if result["met"] else 1


def concluded(
    rows: Sequence[Mapping[str, object]], base: str, same_model: Set[str], target: float
) -> tuple[dict[str, object], str]:
    """Whether each peer of the same model is measured and slower by the target; and the text beside the table. A server
    that left requests unanswered is not measured.
    """
    ratios = {str(row["server"]): float(str(row[f"{base} / server, pairs/s"])) for row in rows}
    void = [str(row["server"]) for row in rows if row["not 200"]]
    missed = [name for name in ratios if name in same_model - {base} and not ratios[name] >= target]
    words = [f"The target is {target:g}x of each server of the same model: " + ("missed over " if missed else "met")]
    words[0] += f"{', '.join(missed)}."
    if void:
        words.append(f"**Not valid: {', '.join(void)}**, which did not answer 200 to each request.")
    result = {"met": not missed and not void, "target": target, "base": base, "ratios": ratios, "void": void}
    return result, "\n\n".join([" ".join(words), table(rows)])


if __name__ == "__main__":
    sys.exit(main())
