"""Fitscore and its peers, one after the other, round after round (A B A B), under the same load: ratios in a
table.

Same weights, same precision, same requests in the same order; each server in its own environment, alone while
it is measured. Before any figure, all servers score the same list, and the run fails when they do not agree:
then it is not the same model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from load_tests.client import Connections
from load_tests.open_loop import Limits, closed_loop, mix_of
from load_tests.peers.environments import FITSCORE, HOME, INFINITY, NAIVE, ROOT, environment
from load_tests.report import Summary, json_line, summarise, table
from load_tests.server import DEADLINE_MS, SATURATED, free_port, running
from load_tests.traffic import Ask, Mix, first
from load_tests.wire import PATHS, Call, Dialect, call
from models.bundle import Bundle

AGREEMENT = 1e-3


@dataclass(frozen=True)
class Server:
    """One thing under test. `same_model`: its weights and precision are those of the others."""

    name: str
    dialect: Dialect
    ready_path: str
    command: Callable[[int], Sequence[str]]
    settings: Callable[[int], Mapping[str, str]]
    same_model: bool = True


@dataclass(frozen=True)
class Plan:
    """How each turn is loaded."""

    calls: Mapping[Dialect, Sequence[Call]]
    clients: int
    warm_s: float
    seconds: float


def fitscore(name: str, python: Path, bundle: Path, *, same_model: bool = True) -> Server:
    """The service with its defaults, but for the backlog that it refuses beyond: see `SATURATED`."""
    return Server(
        name, "score", "/readyz",
        lambda port: [str(python), "-m", "service"],
        lambda port: {"FITSCORE_BUNDLE": str(bundle), "FITSCORE_PORT": str(port), **SATURATED},
        same_model,
    )  # fmt: skip


def naive(python: Path, checkpoint: Path, max_tokens: int) -> Server:
    """See naive.py."""
    files = ["--graph", str(checkpoint / "model.onnx"), "--tokenizer", str(checkpoint / "tokenizer.json")]
    script = str(Path(__file__).with_name("naive.py"))
    return Server(
        "naive", "score", "/livez",
        lambda port: [str(python), script, *files, "--max-tokens", str(max_tokens), "--port", str(port)],
        lambda port: {},
    )  # fmt: skip


def infinity(binary: Path, checkpoint: Path) -> Server:
    """Its torch engine: the `optimum` engine does not start from a local folder."""
    words = ["v2", "--model-id", str(checkpoint), "--engine", "torch", "--device", "cpu", "--no-model-warmup"]
    return Server(
        "infinity", "rerank", "/health",
        lambda port: [str(binary), *words, "--host", "127.0.0.1", "--port", str(port)],
        lambda port: {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"},
    )  # fmt: skip


async def turn(server: Server, plan: Plan, probe: Ask) -> tuple[Summary, list[float]]:
    """Start it, take its scores of `probe`, load it, stop it."""
    port = free_port()
    async with running(server.command(port), port, server.ready_path, environment=server.settings(port)) as url:
        scores = await scores_of(url, server.dialect, probe)
        end = plan.warm_s + plan.seconds
        samples = await closed_loop(
            url, plan.calls[server.dialect], plan.clients, end, Limits(timeout_s=DEADLINE_MS / 1000)
        )
    return summarise(samples, start=plan.warm_s, end=end), scores


async def scores_of(url: str, dialect: Dialect, probe: Ask) -> list[float]:
    """Scores in the order of the candidates."""
    request = call(probe, dialect, DEADLINE_MS)
    async with Connections(url) as connections:
        answer = await connections.post(request.path, request.body)
    if answer.status != 200:
        raise RuntimeError(f"{url}{request.path} answered {answer.status}: {answer.body[:200]!r}")
    document = json.loads(answer.body)
    if dialect == "score":
        return [entry["score"] for entry in document["scores"]]
    ordered = sorted(document["results"], key=lambda entry: int(entry["index"]))
    return [entry["relevance_score"] for entry in ordered]


async def measure(
    servers: Sequence[Server], plan: Plan, probe: Ask, rounds: int
) -> tuple[dict[str, list[Summary]], float]:
    """All rounds, and the largest difference between the scores of servers with the same model."""
    found: dict[str, list[Summary]] = {server.name: [] for server in servers}
    reference: list[float] = []
    worst = 0.0
    for number in range(rounds):
        for server in servers:
            summary, scores = await turn(server, plan, probe)
            found[server.name].append(summary)
            print(
                f"round {number + 1} {server.name}: {summary.pairs_per_s} pairs/s {summary.outcomes}",
                file=sys.stderr,
            )
            if server.same_model:
                reference = reference or scores
                worst = max(worst, *(abs(one - other) for one, other in zip(reference, scores, strict=True)))
        if worst > AGREEMENT:
            raise RuntimeError(f"servers of the same model differ by {worst:.2e}: not the same weights or text")
    return found, worst


def compare(found: Mapping[str, Sequence[Summary]]) -> list[dict[str, object]]:
    """A row per server; ratios are medians over the rounds, against the first server in each round."""
    names = list(found)
    rows: list[dict[str, object]] = []
    for name in names:
        pairs = list(zip(found[names[0]], found[name], strict=True))
        ratios = [ours.pairs_per_s / max(theirs.pairs_per_s, 1e-9) for ours, theirs in pairs]
        rows.append({
            "server": name,
            "pairs/s": statistics.median(theirs.pairs_per_s for _, theirs in pairs),
            "p50 ms": statistics.median(theirs.latency_ms["p50"] for _, theirs in pairs),
            "p99 ms": statistics.median(theirs.latency_ms["p99"] for _, theirs in pairs),
            f"{names[0]} / it, pairs/s": round(statistics.median(ratios), 3),
            "ratio, lowest to highest": f"{min(ratios):.2f} to {max(ratios):.2f}",
            "it / ours, p50": _latency_ratio(pairs, "p50"),
            "it / ours, p99": _latency_ratio(pairs, "p99"),
            "not 200": sum(theirs.requests - theirs.outcomes.get("200", 0) for _, theirs in pairs),
        })  # fmt: skip
    return rows


def _latency_ratio(pairs: Sequence[tuple[Summary, Summary]], name: str) -> float:
    return round(statistics.median(theirs.latency_ms[name] / ours.latency_ms[name] for ours, theirs in pairs), 3)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.peers.run", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoint", type=Path, help="Hugging Face cross-encoder folder, BERT, 1 label; default: drawn"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=ROOT / "models" / "jobs-v1",
        help="the shipped bundle; its tokenizer serves",
    )
    parser.add_argument("--layers", type=int, default=6, help="of the drawn checkpoint")
    parser.add_argument("--only", nargs="+", help="of: fitscore naive infinity shipped")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--warm-seconds", type=float, default=8.0)
    parser.add_argument("--sizes", type=int, nargs="+", help="candidates a request, equally often; default: the mix")
    parser.add_argument("--candidate-words", type=float, default=Mix().candidate_words, help="median of their lengths")
    parser.add_argument("--sigma", type=float, default=Mix().sigma, help="spread of lengths: log-normal; 1 is wide")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=2.0, help="wanted ratio to each peer of the same model")
    return parser.parse_args(argv)


def servers_of(options: argparse.Namespace) -> list[Server]:
    """Make the model in every form, and an environment for each server that takes part."""
    # Torch is imported here only: the file must open without it.
    from load_tests.peers.checkpoint import bundle_of, copied, drawn

    shipped = Bundle.load(options.bundle)
    text = shipped.manifest.text
    cut = text.member_tokens + text.candidate_tokens + 3  # [CLS] and two [SEP]
    if options.checkpoint:
        checkpoint = copied(HOME / "checkpoint", options.checkpoint, max_tokens=cut)
    else:
        vocabulary = shipped.contents[text.tokenizer]
        checkpoint = drawn(HOME / "drawn", vocabulary, layers=options.layers, max_tokens=cut, seed=options.seed)
    fp32 = HOME / "fp32-bundle"
    bundle_of(checkpoint, fp32, member_tokens=text.member_tokens, candidate_tokens=text.candidate_tokens)
    wanted = set(options.only or ("fitscore", "naive", "infinity", "shipped"))
    servers: list[Server] = []
    if wanted & {"fitscore", "shipped"}:
        python = environment("fitscore", FITSCORE) / "python"
    if "fitscore" in wanted:
        servers.append(fitscore("fitscore", python, fp32))
    if "naive" in wanted:
        servers.append(naive(environment("naive", NAIVE) / "python", checkpoint, cut))
    if "infinity" in wanted:
        servers.append(infinity(environment("infinity", INFINITY) / "infinity_emb", checkpoint))
    if "shipped" in wanted:
        servers.append(fitscore("shipped", python, options.bundle, same_model=False))
    return servers


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 when a peer of the same model is nearer than `--target`."""
    options = parse(argv)
    servers = servers_of(options)
    mix = replace(mix_of(options.sizes, options.seed), candidate_words=options.candidate_words, sigma=options.sigma)
    lists = first(mix, 400)
    calls = {dialect: [call(ask, dialect, DEADLINE_MS) for ask in lists] for dialect in PATHS}
    plan = Plan(calls, options.clients, options.warm_seconds, options.seconds)
    # Short texts: what is longer is cut by each server in its own way.
    (probe,) = first(Mix(sizes=(8,), size_weights=(1,), member_words=10, candidate_words=15, longest_words=40), 1)
    found, worst = asyncio.run(measure(servers, plan, probe, options.rounds))
    rows = compare(found)
    print(table(rows))
    peers = {server.name for server in servers if server.same_model} - {servers[0].name}
    reached = all(
        float(str(row[f"{servers[0].name} / it, pairs/s"])) >= options.target for row in rows if row["server"] in peers
    )
    print(
        json_line(
            "peers",
            {"reached": reached, "target": options.target, "score_difference": worst, "servers": rows},
        )
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
