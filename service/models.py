"""Which model is live: load beside, verify, warm up, swap in one assignment. Knows nothing of requests or HTTP."""

from __future__ import annotations

import gc
import hashlib
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from models.bundle import Bundle, BundleError, Manifest
from models.scorer import Scorer
from models.session import Device
from models.text import SPECIAL_TOKENS, Pair, Template, TextEncoder
from service.cost import CostTable

Phase = Literal["loading", "ready", "draining", "failed", "dead"]

# What loading takes beside the graph's own bytes: measured at about three copies while onnxruntime optimises, plus its libraries.
COPIES_WHILE_LOADING = 3
RUNTIME_BYTES = 150 << 20


class NotEnoughMemory(Exception):
    """The bundle would not fit; the sentence says what it needs and what there is."""


@dataclass(frozen=True)
class LiveModel:
    """A verified, warm model. Requests hold on to the one that they began with."""

    name: str
    version: str
    policy: str | None
    template: Template
    encoder: TextEncoder
    tokenizer_key: bytes
    scorer: Scorer
    heads: tuple[str, ...]
    default_blend: Mapping[str, float]
    cost: CostTable
    device: str
    precision: str


def load_model(path: Path, *, device: Device, threads: int, max_batch_tokens: int, max_batch_s: float) -> LiveModel:
    """Load a bundle and make it ready to serve. Raises BundleError, DeviceError or NotEnoughMemory; takes seconds."""
    bundle = Bundle.load(path)
    graph = bundle.graph_for(device)
    check_memory(len(bundle.contents[graph.file]))
    encoder, scorer = bundle.encoder(), bundle.open(device, threads)
    bundle.check_known_answers(scorer, encoder, graph)
    manifest = bundle.manifest
    return LiveModel(
        name=manifest.name,
        version=manifest.version,
        policy=manifest.policy,
        template=manifest.text.template,
        encoder=encoder,
        tokenizer_key=hashlib.blake2b(bundle.contents[manifest.text.tokenizer], digest_size=16).digest(),
        scorer=scorer,
        heads=scorer.heads,
        default_blend=manifest.default_blend,
        cost=_warm_up(scorer, manifest, max_batch_tokens, max_batch_s),
        device=graph.device,
        precision=graph.precision,
    )


def _warm_up(scorer: Scorer, manifest: Manifest, max_batch_tokens: int, max_batch_s: float) -> CostTable:
    """Run every size that a batch may have, which also sizes the runtime's memory, and keep the times."""
    longest = manifest.text.member_tokens + manifest.text.candidate_tokens + SPECIAL_TOKENS
    lengths = sorted({min(16, longest), min(48, longest), min(96, longest), longest})

    def run(pairs: int, length: int) -> object:
        return scorer.score([_dummy(length)] * pairs)

    sizes = [size for size in (1, 2, 4, 8, 16, 32, 64, 128, 256) if size * lengths[0] <= max_batch_tokens]
    return CostTable.measure(
        run, time.perf_counter, batch_sizes=sizes, lengths=lengths, limit_s=2 * max_batch_s, repeats=2
    )


def _dummy(length: int) -> Pair:
    text = max(0, length - SPECIAL_TOKENS)
    return Pair(np.ones(text // 2, dtype=np.int32), np.ones(text - text // 2, dtype=np.int32))


def check_memory(graph_bytes: int) -> None:
    """Raise NotEnoughMemory when loading a graph of this size would not fit into what the process may use."""
    needed = graph_bytes * COPIES_WHILE_LOADING + RUNTIME_BYTES
    available = _available_bytes()
    if available < needed:
        raise NotEnoughMemory(f"the model needs about {needed >> 20} MiB of memory; {available >> 20} MiB are available")


def _available_bytes() -> int:
    limits = [_meminfo("MemAvailable")]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            limits.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such cgroup version here, or "max"
            continue
    return min(limits)


def _meminfo(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def installed(folder: Path) -> dict[Path, Manifest]:
    """Sound bundles in a folder, by path; anything else there is passed over."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found[path] = Bundle.load(path).manifest
        except BundleError:
            continue
    return found


def settle_memory() -> None:
    """After loading: what is alive now will stay, so the collector need not look at it again (pauses of 100 ms otherwise)."""
    gc.collect()
    gc.freeze()
