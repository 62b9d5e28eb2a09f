"""The servers under test: how each is started, and the model in the format that it needs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from load_tests.payloads import Dialect
from load_tests.peers.environments import CROSS_ENCODER, FITSCORE, HOME, INFINITY, NAIVE, environment
from load_tests.server import SATURATED
from models.bundle.files import Bundle

NAMES = ("fitscore", "naive", "infinity", "cross-encoder", "shipped", "teacher")


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

    makers: dict[str, Callable[[], Server]] = {
        "fitscore": lambda: fitscore("fitscore", ours(), fp32),
        "naive": lambda: naive(environment("naive", NAIVE) / "python", checkpoint, cut),
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
