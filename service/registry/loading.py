"""What makes a bundle ready to serve: verify, open, check its known answers, warm up, measure its cost.

Knows nothing of requests or HTTP; which model is live is the lifecycle's business.
"""

from __future__ import annotations

import gc
import hashlib
import json
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.bundle.files import MANIFEST, Bundle
from models.bundle.manifest import Manifest, Part
from models.bundle.signature import TrustedSigner
from models.errors import BundleError, DeviceError
from models.loading import check_known_answers, graph_key, graphs_for, open_encoder, open_scorer
from models.runtime.providers import RunMode
from models.runtime.session import Device
from models.template import Template
from models.text import TextEncoder
from service.registry.operations import PairOperation, SplitOperations, WarmUpOperation
from service.registry.warmup import BatchCaps, operations_of

Phase = Literal["loading", "ready", "draining", "failed", "dead"]

# What loading takes: measured at about three copies of the graph while onnxruntime optimises, and its libraries.
COPIES_WHILE_LOADING = 3
RUNTIME_BYTES = 150 << 20


class NotEnoughMemory(Exception):
    """The bundle would not fit; the sentence says what it needs and what there is."""


@dataclass(frozen=True)
class LiveModel:
    """A verified, warm model. Requests hold on to the one that they began with.

    `keys` say which graph made what is kept: states of members, slots of candidates.
    """

    name: str
    version: str
    policy: str | None
    template: Template
    encoder: TextEncoder
    text_key: bytes
    keys: Mapping[Part, bytes]
    lanes: PairOperation | SplitOperations
    heads: tuple[str, ...]
    default_blend: Mapping[str, float]
    device: str
    precision: str
    # What must still run on the model thread before the model is live.
    warm_up: WarmUpOperation | None = None


def load_model(
    path: Path,
    *,
    device: Device,
    threads: int,
    caps: BatchCaps,
    run_mode: RunMode = "plain",
    engines: Path = Path("engines"),
    signer: TrustedSigner | None = None,
) -> LiveModel:
    """Load a bundle and make it ready to serve, in seconds. Raises BundleError, DeviceError or NotEnoughMemory."""
    check_memory(path)
    bundle = Bundle.load(path, signer)
    graphs = graphs_for(bundle, device)
    graph = next(iter(graphs.values()))
    encoder, scorer = open_encoder(bundle), open_scorer(bundle, device, threads, run_mode=run_mode, engines=engines)
    manifest = bundle.manifest
    try:
        scorer.warm_up()
        check_known_answers(bundle, scorer, encoder, device)
        lanes = operations_of(scorer, encoder, caps)
    except (BundleError, MemoryError):
        raise
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise BundleError(f"{path / graph.file} cannot be run: {type(error).__name__}") from error
    return LiveModel(
        name=manifest.name,
        version=manifest.version,
        policy=manifest.policy,
        template=manifest.text.template,
        encoder=encoder,
        text_key=_text_key(bundle),
        keys={part: graph_key(bundle, each) for part, each in graphs.items()},
        lanes=lanes,
        heads=scorer.heads,
        default_blend=manifest.default_blend,
        device=graph.device,
        precision=graph.precision,
        warm_up=WarmUpOperation.of(scorer) if run_mode == "graphs" else None,
    )


def why(error: Exception, path: Path) -> str:
    """One sentence on why a bundle could not be loaded."""
    if isinstance(error, BundleError | DeviceError | NotEnoughMemory):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{path} does not fit into memory"
    return f"{path} could not be loaded: {type(error).__name__}"


def _text_key(bundle: Bundle) -> bytes:
    """The same for two models only where they make the same ids of the same text."""
    text = bundle.manifest.text
    contents = bundle.contents[text.tokenizer] + text.model_dump_json(exclude={"template"}).encode()
    return hashlib.blake2b(contents, digest_size=16).digest()


def check_memory(path: Path) -> None:
    """Raise NotEnoughMemory when a bundle's graphs would not fit into what the process may use."""
    sizes = [graph.stat().st_size for graph in path.glob("*.onnx")] if path.is_dir() else []
    # One graph is loaded after another: only the largest is there in all its copies at once.
    needed = sum(sizes) + max(sizes, default=0) * (COPIES_WHILE_LOADING - 1) + RUNTIME_BYTES
    available = _available_bytes()
    if available < needed:
        raise NotEnoughMemory(
            f"too little memory: {path} needs about {needed >> 20} MiB and {available >> 20} MiB are available"
        )


def _available_bytes() -> int:
    """The least of what the machine, the process' own limit and its control group leave."""
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
    return max(0, min(limits))


def _meminfo(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def installed(folder: Path) -> list[Manifest]:
    """Manifests of the sound bundles in a folder; anything else there is passed over."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.append(Bundle.load(path).manifest)
        except BundleError:
            continue
    return found


def find_bundle(folder: Path, name: str, version: str) -> Path | None:
    """The bundle that says it is this version of this model, sound or not: loading it tells."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            said = json.loads((path / MANIFEST).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and (said.get("name"), said.get("version")) == (name, version):
            return path
    return None


def settle_memory() -> None:
    """What is alive after loading stays, so the collector need not look at it again (pauses of 100 ms otherwise)."""
    gc.collect()
    gc.freeze()
