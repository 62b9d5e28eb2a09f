"""Makes each product of its own parts and of those that all products share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.admission.controller import Admission, FairShares
from service.admission.quotas import Quotas
from service.batching.engine import Engine
from service.encoding.background import BackgroundEncoder
from service.encoding.lookup import Lookup
from service.encoding.member_cache import MemberCache
from service.encoding.parts import EncodingParts
from service.encoding.single_flight import SingleFlight
from service.encoding.slot_writer import SlotWriter
from service.encoding.token_cache import TokenCache
from service.encoding.tokenization import TextReader, TokenizerThread
from service.observability.metrics import Metrics
from service.products.filling import Filler, FillThenActivate
from service.products.product import Product
from service.registry.catalog import stated_name
from service.registry.memory import freeze_objects
from service.registry.swap import CurrentModel, Load, ModelRegistry, TryOut
from service.rollout.router import RolloutRouter
from service.scoring.pipeline import Score, ScoringPipeline
from service.settings import BadSetting, ModelSettings, Settings
from service.store.shelves import Shelf
from service.store.writes import BoundedWriter

if TYPE_CHECKING:
    from service.audit.log import AuditLog


@dataclass(frozen=True, slots=True)
class SharedParts:
    """What all products of a process share: one model thread, one tokenizer thread, and the loading of bundles."""

    settings: Settings
    metrics: Metrics
    engine: Engine
    tokenizer: TokenizerThread
    shares: FairShares
    load: Load
    try_out: TryOut
    audit: AuditLog | None


def bundles_by_name(settings: ModelSettings) -> dict[str, Path]:
    """The folder of each product's first bundle, by the name in its manifest; the default product comes first.

    Raises BadSetting for two bundles of one name.
    """
    found: dict[str, Path] = {}
    for path in (settings.bundle, *settings.more_bundles):
        name = stated_name(path)
        if name in found:
            raise BadSetting(f"FITSCORE_MORE_BUNDLES: {found[name]} and {path} are both named {name}")
        found[name] = path
    return found


def open_products(shared: SharedParts, bundles: Mapping[str, Path], shelves: Mapping[str, Shelf]) -> Sequence[Product]:
    """All products. Their caches share the memory of the settings evenly. One bundle is loaded at a time."""
    loading = asyncio.Lock()
    return [_product(shared, name, bundles[name], shelf, loading, len(shelves)) for name, shelf in shelves.items()]


def _product(
    shared: SharedParts, name: str, bundle: Path, shelf: Shelf, loading: asyncio.Lock, num_products: int
) -> Product:
    settings, engine, current = shared.settings, shared.engine, CurrentModel()
    max_backlog_s, event_loop = settings.limits.max_backlog_s, shared.metrics.runtime
    admission = Admission(max_backlog_s, engine.backlog_seconds, event_loop, shared.shares.of(name))
    encoding = _encoding(shared, shelf, num_products)
    pipeline = ScoringPipeline(current, admission, encoding, engine)
    router = RolloutRouter(pipeline, current, settings.rollout)
    models = ModelRegistry(current, engine, bundle=bundle, load=shared.load, try_out=shared.try_out, loading=loading)
    current.on_swap(encoding.background.use)
    current.on_swap(lambda _: router.comparison())  # which forgets a rollout that has ended
    current.on_swap(lambda _: freeze_objects())
    access = settings.access
    quotas = Quotas(pairs_per_s=access.quota_pairs_per_s, burst=access.quota_burst)
    return Product(
        name=name,
        models=models,
        router=router,
        scoring=_audited(pipeline.score, shared.audit, shelf),
        scoring_both=_audited(router.score, shared.audit, shelf),
        encoding=encoding,
        store=BoundedWriter(shelf.texts),
        quotas=quotas if access.quota_pairs_per_s else None,
        admission=admission,
        filling=FillThenActivate(_filler(shared, shelf, encoding)),
    )


def _filler(shared: SharedParts, shelf: Shelf, encoding: EncodingParts) -> Filler:
    """A filler with caches of its own: a million texts must not push out what requests use."""
    texts = TextReader(shelf.texts, TokenCache(0), shared.settings.limits.max_text_chars)
    writer = SlotWriter(shelf.bulk, failed=lambda: shared.metrics.store_failed("put"))
    return Filler(
        shelf=shelf,
        catalogue=shared.settings.store.catalogue,
        slots=shelf.bulk,
        lookup=Lookup(texts, MemberCache(0), shelf.bulk),
        flight=SingleFlight(shared.engine, writer.keep),
        tokenizer=encoding.tokenizer,
        writer=writer,
    )


def _audited(score: Score, audit: AuditLog | None, shelf: Shelf) -> Score:
    if audit is None:
        return score
    from service.audit.audited import AuditedScoring  # imported only where there is a log

    return AuditedScoring(score, audit, shelf.texts).score


def _encoding(shared: SharedParts, shelf: Shelf, num_products: int) -> EncodingParts:
    settings, engine, metrics = shared.settings.batching, shared.engine, shared.metrics
    cache = TokenCache(settings.token_cache_bytes // num_products, metrics.tokens_looked_up)
    members = MemberCache(settings.member_cache_bytes // num_products)
    texts = TextReader(shelf.texts, cache, shared.settings.limits.max_text_chars)
    kept = shelf.kept
    slot_writer = SlotWriter(
        shelf.slots, failed=lambda: metrics.store_failed("put"), then=kept.flush if kept else lambda: None
    )
    lookup = Lookup(texts, members, shelf.slots, keep=kept.note if kept else None)
    background = BackgroundEncoder(
        SingleFlight(engine, slot_writer.keep),
        lookup,
        shared.tokenizer,
        max_candidates=max(1, settings.max_ahead // num_products),
        dropped=metrics.ahead_dropped.inc,
    )
    return EncodingParts(
        engine=engine,
        tokenizer=shared.tokenizer,
        texts=texts,
        lookup=lookup,
        slot_writer=slot_writer,
        members=SingleFlight(engine, members.keep),
        candidates=SingleFlight(engine, slot_writer.keep),
        background=background,
        metrics=metrics,
        token_cache=cache,
    )
