"""Turns a bundle into a model that is ready to serve: verify, open, check its known answers, warm up, measure.

Knows nothing of requests, HTTP, or which model is live.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.bundle.files import Bundle
from models.bundle.manifest import Part
from models.bundle.reference import Reference
from models.bundle.signature import TrustedSigner
from models.errors import BundleError, DeviceError
from models.features import NO_FEATURES, Features
from models.heads import FIRST_HEAD, BestChunk
from models.loading import check_known_answers, graph_key, graphs_for, open_scorer
from models.template import Template
from models.text import TextEncoder
from service.batching.jobs import Operation
from service.registry.memory import NotEnoughMemory, check_memory
from service.registry.operations import SplitOperations, warm_up_operation
from service.registry.warmup import BatchCaps, GiveWay, measured_operations
from service.settings import ModelSettings


@dataclass(frozen=True)
class LiveModel:
    """A verified, warm model. A request keeps the one that it began with.

    `keys` identify the graph that made a cached member state or candidate slots. `operations` is the pair operation of
    a cross-encoder, or those of a split model. `warm_up` must still run on the model thread before the model is live.
    `digest` is that of the bundle's manifest.
    """

    name: str
    version: str
    policy: str | None
    template: Template
    encoder: TextEncoder
    text_key: bytes
    keys: Mapping[Part, bytes]
    operations: Operation | SplitOperations
    heads: tuple[str, ...]
    default_blend: Mapping[str, float]
    device: str
    precision: str
    digest: str
    warm_up: Operation | None = None
    features: Features = NO_FEATURES
    best_chunk: BestChunk = FIRST_HEAD
    reference: Reference | None = None


def load_model(
    path: Path,
    settings: ModelSettings,
    caps: BatchCaps,
    signer: TrustedSigner | None = None,
    give_way: GiveWay = lambda: None,
) -> LiveModel:
    """Load a bundle and make it ready to serve, in seconds. Raises BundleError, DeviceError or NotEnoughMemory.

    `give_way()` is called before each run that measures it: the live model may be at work.
    """
    check_memory(path)
    bundle = Bundle.load(path, signer)
    manifest, graphs = bundle.manifest, graphs_for(bundle, settings.device)
    graph = next(iter(graphs.values()))
    run_mode = settings.gpu_run
    scorer = open_scorer(bundle, settings.device, settings.threads, run_mode=run_mode, engines=settings.engines)
    encoder = scorer.encoder
    try:
        scorer.warm_up()
        check_known_answers(bundle, scorer, encoder, settings.device)
        operations = measured_operations(scorer, encoder, caps, give_way)
    except (BundleError, MemoryError):
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise BundleError(f"{path / graph.file} cannot be run: {type(error).__name__}") from error
    return LiveModel(
        name=manifest.name,
        version=manifest.version,
        policy=manifest.policy,
        template=manifest.text.template,
        encoder=encoder,
        text_key=_text_key(bundle),
        keys={part: graph_key(bundle, each) for part, each in graphs.items()},
        operations=operations,
        heads=scorer.heads,
        default_blend=manifest.default_blend,
        device=graph.device,
        precision=graph.precision,
        digest=bundle.digest,
        warm_up=warm_up_operation(scorer.warm_up) if run_mode == "graphs" else None,
        features=Features(manifest.features),
        best_chunk=manifest.best_chunk,
        reference=manifest.reference,
    )


def load_failure(error: Exception, path: Path) -> str:
    """One sentence on why a bundle could not be loaded."""
    if isinstance(error, BundleError | DeviceError | NotEnoughMemory):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{path} does not fit into memory"
    return f"{path} could not be loaded: {type(error).__name__}"


def _text_key(bundle: Bundle) -> bytes:
    """Equal for two models only if they make the same token ids of the same text."""
    text = bundle.manifest.text
    contents = bundle.contents[text.tokenizer] + text.model_dump_json(exclude={"template"}).encode()
    return hashlib.blake2b(contents, digest_size=16).digest()
