"""The parts of encoding that the inputs of all models share. Made and wired by `create_app`."""

from __future__ import annotations

from dataclasses import dataclass

from service.batching.engine import Engine
from service.encoding.background import BackgroundEncoder
from service.encoding.lookup import Lookup
from service.encoding.single_flight import SingleFlight
from service.encoding.slot_writer import SlotWriter
from service.encoding.token_cache import TokenCache
from service.encoding.tokenization import TextReader, TokenizerThread
from service.observability.metrics import Metrics


@dataclass(frozen=True, slots=True)
class EncodingParts:
    """`members` and `candidates` encode for a waiting request, `background` for later ones."""

    engine: Engine
    tokenizer: TokenizerThread
    texts: TextReader
    lookup: Lookup
    slot_writer: SlotWriter
    members: SingleFlight
    candidates: SingleFlight
    background: BackgroundEncoder
    metrics: Metrics
    token_cache: TokenCache
