"""A bundle becomes a scorer: opens its tokenizer and graphs for a device, and checks its known answers.

Knows no files: the bytes come verified from `models.bundle.files`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.bundle.files import MANIFEST, Bundle
from models.bundle.manifest import PARTS, Graph, Part
from models.errors import BundleError
from models.features import Features
from models.runtime.buckets import BatchLimits
from models.runtime.io_binding import open_runner
from models.runtime.providers import RunMode
from models.runtime.session import Device, Runner, resolve_device
from models.scorers.cross_encoder import CrossEncoderScorer
from models.scorers.interface import Scorer
from models.scorers.split import SplitScorer
from models.slots.codec import model_key
from models.text import Pair, TextEncoder


def open_encoder(bundle: Bundle) -> TextEncoder:
    """The text encoder that the model was trained with. Raises BundleError."""
    text = bundle.manifest.text
    try:
        tokenizer = bundle.contents[text.tokenizer].decode()
        limits = (text.member_tokens, text.candidate_tokens)
        return TextEncoder(tokenizer, *limits, layout=text.layout, chunks=text.chunks)
    except Exception as error:  # tokenizers raises bare Exception
        raise BundleError(f"{bundle.path / text.tokenizer} is not a usable tokenizer") from error


def graphs_for(bundle: Bundle, device: Device) -> dict[Part, Graph]:
    """The graph of each part for a device. A part that has one graph uses it on every device.

    Raises BundleError when a part that this kind of model needs is missing.
    """
    wanted = resolve_device(device)
    found: dict[Part, Graph] = {}
    for part in PARTS[bundle.manifest.kind]:
        graphs = [graph for graph in bundle.manifest.graphs if graph.part == part]
        matching = graphs if len(graphs) == 1 else [graph for graph in graphs if graph.device == wanted]
        if not matching:
            raise BundleError(f"{bundle.path / MANIFEST} lists no {part} graph for device {wanted!r}")
        found[part] = matching[0]
    return found


def graph_key(bundle: Bundle, graph: Graph) -> bytes:
    """A key that two graphs share only if they give the same output for the same rendered text; see `model_key`."""
    text = bundle.manifest.text
    handling = text.model_dump_json(exclude={"template"}).encode()
    return model_key(bundle.contents[graph.file], bundle.contents[text.tokenizer], handling)


def open_scorer(
    bundle: Bundle,
    device: Device = "auto",
    threads: int = 1,
    *,
    run_mode: RunMode = "plain",
    max_pairs: int = 1024,
    engines: Path = Path("engines"),
) -> CrossEncoderScorer | SplitScorer:
    """Open the device's graphs in a run mode; `max_pairs` bounds the largest bucket.

    Raises DeviceError or BundleError.
    """
    encoder = open_encoder(bundle)
    limits = BatchLimits(encoder.longest_member, encoder.longest_candidate, pairs=max_pairs)
    opened: dict[str, Runner] = {}
    runners: dict[Part, Runner] = {}
    for part, graph in graphs_for(bundle, device).items():
        # Parts that share a file share its session, unless each has buckets of its own.
        key = graph.file if run_mode == "plain" else part
        if key not in opened:
            try:
                opened[key] = open_runner(
                    bundle.contents[graph.file],
                    device,
                    threads,
                    run_mode=run_mode,
                    buckets=limits.buckets(part),
                    precision=graph.precision,
                    engines=engines,
                )
            except BundleError as error:
                raise BundleError(f"{bundle.path / graph.file}: {error}") from error
        runners[part] = opened[key]
    heads = bundle.manifest.heads
    if bundle.manifest.kind == "cross":
        return CrossEncoderScorer(runners["pair"], encoder, heads)
    features = Features(bundle.manifest.features)
    if ("features" in runners["score"].input_names) != bool(features):
        said = "no features, which its score graph needs" if not features else "features that its score graph lacks"
        raise BundleError(f"{bundle.path / MANIFEST} declares {said}")
    return SplitScorer(runners["member"], runners["candidate"], runners["score"], encoder, heads, features)


def check_known_answers(bundle: Bundle, scorer: Scorer, encoder: TextEncoder, device: Device) -> None:
    """Score the manifest's own pairs in one batch.

    Raises BundleError when a probability differs by more than the largest tolerance of the device's graphs.
    """
    known = bundle.manifest.known_answers
    if not known:
        return
    candidates = encoder.candidates([each.candidate for each in known])
    features = Features(bundle.manifest.features).read([each.features for each in known]).values
    pairs = [
        Pair(encoder.member(each.member), ids, row) for each, ids, row in zip(known, candidates, features, strict=True)
    ]
    found = scorer.score(pairs)
    expected = np.array([each.probabilities for each in known])
    if found.shape == expected.shape:
        # Rounding may move a chance of about a half that the texts say; what is answered by both must agree.
        both = (found >= 0) & (expected >= 0)
        worst = float(np.abs(found - expected).max(initial=0, where=both)) if np.isfinite(found).all() else float("inf")
    else:
        worst = float("inf")
    graphs = graphs_for(bundle, device).values()
    tolerance = max(graph.tolerance for graph in graphs)
    if not worst <= tolerance:
        files = ", ".join(str(bundle.path / graph.file) for graph in graphs)
        verb = "do not give their" if len(graphs) > 1 else "does not give its"
        raise BundleError(f"{files} {verb} known answers: off by {worst:.3g}, allowed {tolerance:.3g}")
