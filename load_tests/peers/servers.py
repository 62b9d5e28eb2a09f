"""The servers under test: how each is started, and the model in the format that it needs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from load_tests.payloads import Dialect
from load_tests.peers.environments import (
    BENTOML,
    CROSS_ENCODER,
    FITSCORE,
    HOME,
    INFINITY,
    LITSERVE,
    MOSEC,
    NAIVE,
    RAY,
    ROOT,
    environment,
)
from load_tests.server import SATURATED
from models.bundle.files import Bundle

NAMES = (
    "fitscore", "naive", "litserve", "mosec", "bentoml", "ray", "infinity", "cross-encoder", "shipped", "teacher",
)  # fmt: skip


MOSEC_MS = "600000"
"""Milliseconds until Mosec gives a request up: as patient as the load generator."""


@dataclass(frozen=True)
class Server:
    """A server under test. `same_model`: it has the common weights and precision. `keeps_candidates`: it caches encoded
    candidates, and not only their tokens.
    """

    name: str
    dialect: Dialect
    ready_path: str
    command: Callable[[int], Sequence[str]]
    settings: Callable[[int], Mapping[str, str]]
    same_model: bool = True
    keeps_candidates: bool = False


def fitscore(name: str, python: Path, bundle: Path, *, same_model: bool = True) -> Server:
    """The service with its defaults, except that it rejects nothing: see `SATURATED`."""
    return Server(
        name, "score", "/readyz",
        lambda port: [str(python), "-m", "service"],
        lambda port: {"FITSCORE_BUNDLE": str(bundle), "FITSCORE_PORT": str(port), **SATURATED},
        same_model,
        keeps_candidates=Bundle.load(bundle).manifest.kind == "split",
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


def cross_encoder(python: Path, checkpoint: Path, max_tokens: int) -> Server:
    """See cross_encoder.py."""
    script = str(Path(__file__).with_name("cross_encoder.py"))
    words = ["--checkpoint", str(checkpoint), "--max-tokens", str(max_tokens)]
    return Server(
        "cross-encoder", "score", "/livez",
        lambda port: [str(python), script, *words, "--port", str(port)],
        lambda port: {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def batching(name: str, binary: Path, ready_path: str, checkpoint: Path, max_tokens: int) -> Server:
    """A peer that joins requests itself, in front of the common ONNX file: see NAME_server.py and onnx_pairs.py."""
    module = f"load_tests.peers.{name}_server"
    serve = [str(binary.with_name("bentoml")), "serve", f"{module}:Score", "--host", "127.0.0.1", "--port"]
    model = {
        "PEER_GRAPH": str(checkpoint / "model.onnx"),
        "PEER_TOKENIZER": str(checkpoint / "tokenizer.json"),
        "PEER_MAX_TOKENS": str(max_tokens),
        "PYTHONPATH": str(ROOT),
    }
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "MOSEC_ADDRESS": "127.0.0.1"}
    # Ray ends its workers when 95 % of the machine's memory is in use by anything: requests are answered 500 then.
    quiet["RAY_memory_monitor_refresh_ms"] = "0"
    return Server(
        name, "batch" if name == "bentoml" else "score", ready_path,
        lambda port: [*serve, str(port)] if name == "bentoml" else [str(binary), "-m", module],
        lambda port: {**model, **quiet, "PEER_PORT": str(port), "MOSEC_PORT": str(port), "MOSEC_TIMEOUT": MOSEC_MS},
    )  # fmt: skip


def servers_of(options: argparse.Namespace) -> list[Server]:
    """Make the model in every format, and an environment for each chosen server, in order."""
    # Imported here, so that this module works without torch.
    from load_tests.peers.checkpoint import bundle_of, copied, random_checkpoint

    shipped = Bundle.load(options.bundle)
    text = shipped.manifest.text
    cut = text.member_tokens + text.candidate_tokens + 3  # [CLS] and two [SEP]
    if options.checkpoint:
        checkpoint = copied(HOME / "checkpoint", options.checkpoint, max_tokens=cut)
    else:
        tokenizer, layers = shipped.contents[text.tokenizer], options.layers
        checkpoint = random_checkpoint(HOME / "drawn", tokenizer, layers=layers, max_tokens=cut, seed=options.seed)
    fp32 = HOME / "fp32-bundle"
    bundle_of(checkpoint, fp32, member_tokens=text.member_tokens, candidate_tokens=text.candidate_tokens)

    def ours() -> Path:
        return environment("fitscore", FITSCORE) / "python"

    def peer(name: str, packages: tuple[tuple[str, ...], ...], ready_path: str) -> Server:
        return batching(name, environment(name, packages) / "python", ready_path, checkpoint, cut)

    makers: dict[str, Callable[[], Server]] = {
        "fitscore": lambda: fitscore("fitscore", ours(), fp32),
        "naive": lambda: naive(environment("naive", NAIVE) / "python", checkpoint, cut),
        "litserve": lambda: peer("litserve", LITSERVE, "/health"),
        "mosec": lambda: peer("mosec", MOSEC, "/"),
        "bentoml": lambda: peer("bentoml", BENTOML, "/readyz"),
        "ray": lambda: peer("ray", RAY, "/-/healthz"),
        "infinity": lambda: infinity(environment("infinity", INFINITY) / "infinity_emb", checkpoint),
        "cross-encoder": lambda: cross_encoder(environment("cross-encoder", CROSS_ENCODER) / "python", checkpoint, cut),
        "shipped": lambda: fitscore("shipped", ours(), options.bundle, same_model=False),
        "teacher": lambda: fitscore("teacher", ours(), options.flat_teacher, same_model=False),
    }
    return [makers[name]() for name in chosen(options)]


def chosen(options: argparse.Namespace) -> Sequence[str]:
    """Names of the chosen servers; the teacher only if its bundle is given."""
    names = options.only or NAMES
    return [name for name in names if name != "teacher" or options.flat_teacher]
