"""One version onto a running service: canary, watch, activate, watch, or back to the version that was live.

However this ends, a kill -9 aside, no canary is left behind. Knows the admin routes, not bundles and files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from training.errors import UserError
from training.promotion.admin import AdminRoutes, Figures, Refused, Seen, Unreachable

FAILURES, SLOWNESS, SLACK_S = 0.01, 1.5, 0.005
"""What a canary may fail more often, and how much longer it may take. The service's own guardrails watch as well."""
FEWEST = 20
"""Fewer requests after the activation show nothing."""
Note = Callable[..., None]


class Withdrawn(UserError):
    """The version did not stay: the version that was live answers alone. The message says why."""


@dataclass(frozen=True)
class Watch:
    """The canary's share (0: none), the requests that it must answer within some minutes, and how long to watch after
    the activation. `every_s` is the time between two looks.
    """

    share: float = 0.1
    least_requests: int = 100
    minutes: float = 30.0
    after_s: float = 30.0
    every_s: float = 2.0


@dataclass(frozen=True)
class Target:
    """The version of a product."""

    name: str
    version: str


def check_free(service: AdminRoutes, target: Target) -> str:
    """The live version. Raises UserError while another version is rolled out."""
    serving = service.serving(target.name)
    if serving.tried not in (None, target.version):
        raise UserError(
            f"{service.address} rolls out version {serving.tried} of {target.name}: end that first"
            f" (POST /v1/models/{target.name}/{serving.tried}:canary with a share of 0)"
        )
    return serving.live


def roll_out(service: AdminRoutes, target: Target, watch: Watch, note: Note) -> None:
    """Make the version live. Raises Refused, Unreachable or Withdrawn, and then it is not."""
    if watch.share > 0:
        _try(service, target, watch, note)
    before = service.figures(target.name, target.version)
    _activate(service, target)
    note("activated")
    _watch_after(service, target, watch, before)


def _try(service: AdminRoutes, target: Target, watch: Watch, note: Note) -> None:
    try:
        service.canary(target.name, target.version, watch.share)
        note("canary", share=watch.share)
        seen = _watch(service, target, watch)
        note(
            "watched",
            requests=int(seen.candidate.requests),
            failure_rate=seen.candidate.failure_rate,
            mean_ms=seen.candidate.mean_s * 1000,
            live_failure_rate=seen.live.failure_rate,
            live_mean_ms=seen.live.mean_s * 1000,
            psi=seen.psi,
        )
        if fault := fault_of(seen.live, seen.candidate):
            raise Withdrawn(f"version {target.version} {fault}: the live version stays")
    except BaseException:
        # Also where its answer was not waited for: the service loads one bundle at a time, so this comes after it.
        with suppress(Refused, Unreachable):
            service.canary(target.name, target.version, 0)
        raise


def _watch(service: AdminRoutes, target: Target, watch: Watch) -> Figures:
    """Until the canary has answered enough. Raises Withdrawn where it was ended, or did not get enough."""
    end = time.monotonic() + watch.minutes * 60
    while True:
        serving = service.serving(target.name)
        if serving.tried != target.version:
            why = serving.fault or "its rollout was ended by another caller"
            raise Withdrawn(f"the service ended it: {why}; version {serving.live} stays live")
        seen = service.figures(target.name, target.version)
        if seen.candidate.requests >= watch.least_requests:
            return seen
        if time.monotonic() > end:
            raise Withdrawn(
                f"{seen.candidate.requests:.0f} of {watch.least_requests} requests reached version {target.version}"
                f" within {watch.minutes:g} minutes: raise --share or --minutes, or lower --least-requests"
            )
        time.sleep(watch.every_s)


def fault_of(live: Seen, candidate: Seen) -> str | None:
    """Why the candidate must not become live; None where it does as well."""
    if candidate.failure_rate > live.failure_rate + FAILURES:
        return f"failed {candidate.failure_rate:.1%} of its requests, the live version {live.failure_rate:.1%}"
    if live.requests and candidate.mean_s > max(live.mean_s * SLOWNESS, live.mean_s + SLACK_S):
        return f"takes {candidate.mean_s * 1000:.1f} ms on the model, the live version {live.mean_s * 1000:.1f} ms"
    return None


def _activate(service: AdminRoutes, target: Target) -> None:
    try:
        service.activate(target.name, target.version)
    except Unreachable:
        if service.serving(target.name).live != target.version:  # else only its answer was lost
            raise


def _watch_after(service: AdminRoutes, target: Target, watch: Watch, before: Figures) -> None:
    """Raises Withdrawn after a rollback: requests fail more often than they did before."""
    end = time.monotonic() + watch.after_s
    while time.monotonic() < end:
        time.sleep(min(watch.every_s, watch.after_s))
        if (live := service.serving(target.name).live) != target.version:
            raise Withdrawn(f"another caller made version {live} live")
        now = service.figures(target.name, target.version)
        requests, failed = now.requests - before.requests, now.failed - before.failed
        usual = before.failed / before.requests if before.requests else 0.0
        if requests >= FEWEST and failed / requests > usual + FAILURES:
            service.roll_back(target.name, target.version)
            raise Withdrawn(
                f"{failed / requests:.1%} of {requests:.0f} requests failed after the activation, {usual:.1%} before:"
                " the version before it is live again"
            )
