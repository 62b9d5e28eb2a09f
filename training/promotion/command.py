"""`python -m training promote NAME --to URL`: the product's bundle through the gate onto a running service."""

from __future__ import annotations

import argparse
import getpass
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from models.bundle.files import Bundle
from models.errors import BundleError
from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.errors import UserError
from training.evaluation.report import Decision
from training.product.live import keep_live, kept_bundle
from training.product.recipe import product_recipe
from training.product.settings import read_settings
from training.promotion.admin import AdminRoutes, Refused, Serving
from training.promotion.delivery import deliver
from training.promotion.gate import compare
from training.promotion.record import RECORD, Record, never_live, only_one
from training.promotion.rollout import Target, Watch, Withdrawn, check_free, roll_out
from training.recipe import Recipe


@dataclass(frozen=True)
class Order:
    """What a person asks for. `models` is the folder of the service's bundles as this machine sees it."""

    folder: Path
    url: str
    key: str | None
    metrics: str | None
    models: Path | None
    live: Path | None
    who: str
    why: str
    accept: str
    watch: Watch


def promote(arguments: Sequence[str]) -> int:
    """`promote NAME --to URL`: 0 when the bundle is live."""
    order = _order(arguments)
    with _stopped_by_sigterm():
        for sentence in promote_product(order):
            sys.stdout.write(f"{sentence}\n")
            sys.stdout.flush()
    return 0


def promote_product(order: Order) -> Iterator[str]:
    """Gate, delivery, rollout; yields what was done in sentences. Raises UserError or BundleError with the reason."""
    settings, recipe = read_settings(order.folder), product_recipe(order.folder)
    bundle = Bundle.load(order.folder / "bundle")
    name, version = bundle.manifest.name, bundle.manifest.version
    promotion = f"promote-{secrets.token_hex(6)}"
    with only_one(order.folder / ".promotion.lock"), _connected(order, promotion) as service:
        about = {"promotion": promotion, "product": name, "version": version, "digest": bundle.digest}
        about |= {"service": service.address, "who": order.who, "why": order.why}
        record = Record(order.folder / RECORD, about)
        serving = service.serving(name)
        if _is_live(serving, bundle):
            keep_live(order.folder, bundle)
            record.note("found live")
            yield f"version {version} is live at {service.address}; nothing was to be done"
            return
        check_free(service, Target(name, version))
        live = Bundle.load(order.live or kept_bundle(order.folder, settings, name, serving.live, order.models))
        if serving.digest != live.digest:
            raise UserError(f"{live.path} is not the bundle that is live at {service.address}: name that with --live")
        keep_live(order.folder, live)
        decision = compare(bundle.path, live.path, _lists(recipe, order.folder), recipe.head_names.graded[0])
        yield decision.sentence
        stale = never_live(record.path, service.address, version)
        _pass_gate(decision, order, record, serving)
        with _recorded(record):
            if order.models:
                yield f"the bundle is in {deliver(bundle, order.models, replace=stale)}"
            _roll_out(service, Target(name, version), order, record)
        kept = keep_live(order.folder, bundle)
        record.note("live", instead_of=serving.live)
        yield f"version {version} is live at {service.address} instead of {serving.live}; a copy is in {kept}"
        yield "a restart of the service loads its FITSCORE_BUNDLE: let that name the new bundle"


def _connected(order: Order, promotion: str) -> AdminRoutes:
    return AdminRoutes(order.url, order.key, promotion, order.metrics)


def _is_live(serving: Serving, bundle: Bundle) -> bool:
    """Raises UserError where another bundle of this version is live."""
    version = bundle.manifest.version
    if serving.live != version:
        return False
    if serving.digest != bundle.digest:
        raise UserError(
            f"the service has another bundle of version {version} live: set another `version` in product.toml, and run"
            " `all` again"
        )
    return True


def _lists(recipe: Recipe, folder: Path) -> Iterator[FieldList]:
    yield from recipe.data.lists(SourceFiles(folder))


def _pass_gate(decision: Decision, order: Order, record: Record, serving: Serving) -> None:
    """Record what the gate found. Raises Withdrawn where it says no and no reason to go on was given."""
    found = {"gate": decision.sentence, "passed": decision.promoted, "live_was": serving.live}
    if not decision.promoted and not order.accept:
        record.note("held back", **found)
        raise Withdrawn(f"not promoted: {decision.sentence}. `--accept REASON` promotes it all the same")
    record.note("began", **found, **({"accepted": order.accept} if not decision.promoted else {}))


def _roll_out(service: AdminRoutes, target: Target, order: Order, record: Record) -> None:
    try:
        roll_out(service, target, order.watch, record.note)
    except Refused as error:
        if error.status != 404:
            raise
        raise UserError(
            f"{service.address} has no bundle {target.name} {target.version}: it opens folders beside its first bundle,"
            " so name that folder, as this machine sees it, with --models"
        ) from None


@contextmanager
def _recorded(record: Record) -> Iterator[None]:
    """A rollout that ends in any other way than live is recorded with its reason."""
    try:
        yield
    except (UserError, BundleError) as error:
        record.note("ended", reason=str(error))
        raise
    except BaseException as error:
        record.note("stopped", reason=type(error).__name__)
        raise


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, so that no canary stays."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: Callable[[int, FrameType | None], object] | int | None = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _order(arguments: Sequence[str]) -> Order:
    parser = argparse.ArgumentParser(
        prog="python -m training promote",
        description="Compare NAME/bundle with what is live, and roll it out on a running service.",
    )
    parser.add_argument("name", type=Path, metavar="NAME", help="a product's folder")
    parser.add_argument("--to", required=True, metavar="URL", help="the address of one process of the service")
    parser.add_argument("--key", help="a key with the scope admin, or @FILE that holds it")
    parser.add_argument("--metrics", metavar="URL", help="where the service has a port for metrics alone")
    parser.add_argument(
        "--models", type=Path, metavar="FOLDER", help="where the service finds its bundles: copy it there"
    )
    parser.add_argument("--live", type=Path, metavar="BUNDLE", help="a copy of the live bundle, to compare with")
    parser.add_argument("--share", type=_share, default=0.1, help="of members that the canary answers (default: 0.1)")
    parser.add_argument("--least-requests", type=int, default=100, help="that the canary must answer (default: 100)")
    parser.add_argument("--minutes", type=float, default=30.0, help="that they may take (default: 30)")
    parser.add_argument("--after", type=float, default=30.0, metavar="SECONDS", help="of watch once live (default: 30)")
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (default: 2)")
    parser.add_argument("--who", default="", help="for the record (default: user and host)")
    parser.add_argument("--why", default="", help="for the record")
    parser.add_argument("--accept", default="", metavar="REASON", help="promote although the gate says no")
    given = parser.parse_args(arguments)
    watch = Watch(given.share, given.least_requests, given.minutes, given.after, max(given.every, 0.01))
    who = given.who or f"{getpass.getuser()}@{socket.gethostname()}"
    return Order(
        given.name,
        given.to,
        _key(given.key),
        given.metrics,
        given.models,
        given.live,
        who,
        given.why,
        given.accept,
        watch,
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("a share from 0 to 1")
    return share


def _key(text: str | None) -> str | None:
    if not text or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UserError(f"--key {text}: {error.strerror}") from None
