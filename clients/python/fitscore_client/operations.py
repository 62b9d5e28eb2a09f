"""Each operation of the API as a plan: which requests it takes, and how their answers are read. No I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx

from fitscore_client import wire
from fitscore_client.errors import FitscoreError, InvalidRequest, TooLarge, UnexpectedAnswer, UpsertInterrupted
from fitscore_client.retrying import Call, Deadline, Now, Plan, RetryPolicy, Together, Wait, attempts, once
from fitscore_client.wire import Candidate, Content, Priority

ADMIN_BUDGET_S = 300.0
PUT_TIMEOUT_S = 60.0
BODY_BYTES = 100  # of a PUT without its candidates, at most
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """The most that one PUT carries: the service's default limits."""

    max_candidates: int = 1000
    max_bytes: int = 4 << 20


def owner(key: str, urls: Sequence[str]) -> str:
    """The base URL that owns a key, by rendezvous hashing: a new URL takes keys over, and no other key moves."""
    return max(urls, key=lambda url: hashlib.blake2b(f"{url}\0{key}".encode(), digest_size=8).digest())


def by_owner(candidates: Iterable[Candidate], urls: Sequence[str]) -> dict[str, list[Candidate]]:
    """Candidates by the base URL that owns their id."""
    groups: dict[str, list[Candidate]] = {}
    for each in candidates:
        groups.setdefault(owner(each.id, urls) if len(urls) > 1 else urls[0], []).append(each)
    return groups


@dataclass(frozen=True)
class Operations:
    """The operations of the service behind some base URLs. Each method has the docstring that clients show."""

    urls: tuple[str, ...]
    policy: RetryPolicy
    limits: ChunkLimits
    budget_s: float
    now: Now

    def score(
        self,
        member: Content,
        candidates: Sequence[Candidate],
        *,
        blend: Mapping[str, float] | None = None,
        priority: Priority = "default",
        budget_s: float | None = None,
        heads: Sequence[str] | None = None,
        explain: bool = False,
    ) -> Plan[wire.Scores]:
        """Score candidates for one member; the scores are in their order.

        `heads` names those to return. `explain` asks what each head changes without a feature.
        """
        deadline = self._deadline(budget_s)
        options: dict[str, object] = {} if blend is None else {"blend": dict(blend)}
        if heads is not None:
            options["heads"] = list(heads)
        if explain:
            options["explain"] = True
        plans = []
        # The service refuses an empty list of candidates, so it gets one as well.
        for url, group in (by_owner(candidates, self.urls) or {self.urls[0]: []}).items():
            items = [_item(each) for each in group]
            body = {"member": wire.content(member), "candidates": items, "priority": priority, **options}
            call = Call("POST", f"{url}/score", wire.encoded(body), scoring=True)
            plans.append(self._read(call, deadline, wire.scores))
        if len(plans) == 1:
            return (yield from plans[0])
        parts = yield Together(plans)
        assert isinstance(parts, list)
        return wire.merged(parts, [each.id for each in candidates])

    def rerank(
        self, query: str, documents: Sequence[Content], *, top_n: int | None = None, budget_s: float | None = None
    ) -> Plan[wire.Reranking]:
        """Rank documents for a query, best first."""
        listed = [each if isinstance(each, str) else wire.content(each) for each in documents]
        body = {"query": query, "documents": listed, **({} if top_n is None else {"top_n": top_n})}
        call = Call("POST", f"{self._url}/rerank", wire.encoded(body), scoring=True)
        return self._read(call, self._deadline(budget_s), wire.reranking)

    def upsert(
        self,
        candidates: Iterable[Candidate],
        *,
        ttl_s: float | None = None,
        on_progress: Callable[[wire.Upserted], None] = lambda _: None,
        budget_s: float | None = None,
    ) -> Plan[wire.Upserted]:
        """Store candidates in chunks, and wait when the service says so. Raises UpsertInterrupted.

        If an id occurs twice, the last one counts. A chunk is stored as a whole or not at all.
        """
        deadline = self._deadline(budget_s)
        left = {each.id: each for each in candidates}
        done = wire.Upserted(0, len(left), 0)
        for url, group in by_owner(left.values(), self.urls).items():
            most = self.limits.max_candidates
            while group:
                chunk = self._chunk(group[:most])
                body = {"candidates": [_item(each) for each in chunk], **({} if ttl_s is None else {"ttl_s": ttl_s})}
                try:
                    call = Call("PUT", f"{url}/candidates", wire.encoded(body))
                    progress = _read((yield from once(call, deadline.within(PUT_TIMEOUT_S))), wire.progress)
                except FitscoreError as error:
                    most = max(1, len(chunk) // 2)
                    if isinstance(error, TooLarge) and len(chunk) > 1:
                        continue
                    wait_s = self.policy.wait_s(error, attempt=1)
                    if wait_s is None or wait_s >= deadline.left_s():
                        raise UpsertInterrupted(done.upserted, list(left), _rejected(error, chunk)) from error
                    yield Wait(wait_s)
                    continue
                most = max(most, min(2 * most, progress.room, self.limits.max_candidates))
                group = group[len(chunk) :]
                for each in chunk:
                    del left[each.id]
                done = wire.Upserted(done.upserted + len(chunk), len(left), progress.waiting)
                on_progress(done)
        return done

    def delete(self, candidate_id: str, *, budget_s: float | None = None) -> Plan[None]:
        """Delete a stored candidate. Raises NotFound."""
        url = f"{owner(candidate_id, self.urls)}/candidates/{_segment(candidate_id)}"
        yield from attempts(Call("DELETE", url), self._deadline(budget_s), self.policy)

    def progress(self, *, budget_s: float | None = None) -> Plan[wire.Progress]:
        """Progress of the encoding of stored candidates."""
        return self._read(Call("GET", f"{self._url}/candidates:progress"), self._deadline(budget_s), wire.progress)

    def models(self, *, budget_s: float | None = None) -> Plan[wire.Models]:
        """The live model and those that can be activated."""
        return self._read(Call("GET", f"{self._url}/v1/models"), self._deadline(budget_s), wire.models)

    def activate(self, version: str, *, budget_s: float = ADMIN_BUDGET_S) -> Plan[wire.Model]:
        """Make a version live."""
        return self._change(version, "activate", None, budget_s)

    def shadow(self, version: str, share: float, *, budget_s: float = ADMIN_BUDGET_S) -> Plan[wire.Model]:
        """Score a share of the requests with a version as well, after their answers; 0 stops it."""
        return self._change(version, "shadow", share, budget_s)

    def canary(self, version: str, share: float, *, budget_s: float = ADMIN_BUDGET_S) -> Plan[wire.Model]:
        """Answer a share of the requests with a version; 0 stops it."""
        return self._change(version, "canary", share, budget_s)

    def roll_back(self, version: str, *, budget_s: float = ADMIN_BUDGET_S) -> Plan[wire.Model]:
        """Return from this live version to the model before it."""
        return self._change(version, "rollback", None, budget_s)

    def probe(
        self, name: Literal["livez", "readyz", "startupz"] = "readyz", *, budget_s: float | None = None
    ) -> Plan[wire.Probe]:
        """Ask a probe, once."""
        call = Call("GET", f"{self._url}/{name}", accepts=frozenset({503}))
        response = yield from once(call, self._deadline(budget_s))
        return _read(response, lambda data: wire.Probe(response.is_success, data["phase"]))

    @property
    def _url(self) -> str:
        if len(self.urls) > 1:
            raise ValueError("this operation is about one process: choose it with at(url)")
        return self.urls[0]

    def _deadline(self, budget_s: float | None) -> Deadline:
        return Deadline(self.now, self.now() + (self.budget_s if budget_s is None else budget_s))

    def _change(self, version: str, verb: str, share: float | None, budget_s: float) -> Plan[wire.Model]:
        content = None if share is None else wire.encoded({"share": share})
        call = Call("POST", f"{self._url}/v1/models/{_segment(version)}:{verb}", content)
        return self._read(call, self._deadline(budget_s), wire.model)

    def _read(self, call: Call, deadline: Deadline, read: Callable[[Any], T]) -> Plan[T]:
        return _read((yield from attempts(call, deadline, self.policy)), read)

    def _chunk(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """The first of these candidates, as many as a body may carry; at least one."""
        size = BODY_BYTES
        for index, each in enumerate(candidates):
            size += len(wire.encoded(_item(each))) + 1
            if index and size > self.limits.max_bytes:
                return candidates[:index]
        return candidates


def _read(response: httpx.Response, read: Callable[[Any], T]) -> T:
    try:
        return read(response.json())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnexpectedAnswer(f"status {response.status_code} with a body of another shape") from None


def _item(candidate: Candidate) -> dict[str, object]:
    features = {} if candidate.features is None else {"features": dict(candidate.features)}
    return {"id": candidate.id, **wire.content(candidate.content), **features}


def _segment(name: str) -> str:
    """A name as one segment of a path. Dots are encoded as well, because `..` would be resolved away."""
    return quote(name, safe="").replace(".", "%2E")


def _rejected(error: FitscoreError, chunk: Sequence[Candidate]) -> list[str]:
    """The ids of the candidates that the service will not take, by the pointers of its problem."""
    if isinstance(error, TooLarge):
        return [each.id for each in chunk]
    found = [re.match(r"/candidates/(\d+)", each.pointer) for each in getattr(error, "errors", ())]
    indexes = {int(match[1]) for match in found if match and isinstance(error, InvalidRequest)}
    return [each.id for index, each in enumerate(chunk) if index in indexes]
