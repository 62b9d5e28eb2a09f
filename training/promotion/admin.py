"""The admin routes of a running service, as a promotion needs them. Knows HTTP, and nothing of when to call what.

`GET /v1/models`, `POST /v1/models/{name}/{version}:canary`, `:activate` and `:rollback`, and `GET /metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from training.errors import UserError

ASKING_S, LOADING_S = 10.0, 600.0
"""How long an answer may take. A service loads, verifies and warms up a bundle before it answers."""
FAILED = ("error", "partial")
"""Outcomes of a scoring request that a bad model makes."""


class Unreachable(UserError):
    """No answer, or one that is not this service's; the message names the address."""


class Refused(UserError):
    """The service answers that it does not; the message repeats its reason."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Serving:
    """What a service serves of one product.

    `digest` is that of the live bundle's manifest, `tried` the version of a running rollout, `fault` why the last one
    was ended.
    """

    live: str
    digest: str | None
    versions: tuple[str, ...]
    tried: str | None
    fault: str | None


@dataclass(frozen=True)
class Seen:
    """What one version did during a rollout."""

    requests: float = 0.0
    failed: float = 0.0
    seconds: float = 0.0

    @property
    def failure_rate(self) -> float:
        return self.failed / self.requests if self.requests else 0.0

    @property
    def mean_s(self) -> float:
        """Mean seconds on the model."""
        return self.seconds / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Figures:
    """A scrape: both versions of a rollout, the drift of scores (PSI), and all scoring requests of the process."""

    live: Seen
    candidate: Seen
    psi: float | None
    requests: float
    failed: float


class AdminRoutes:
    """A connection to one process of the service. `promotion` becomes the request id, which the service logs."""

    def __init__(self, url: str, key: str | None, promotion: str, metrics: str | None = None) -> None:
        """`metrics` is the address of a port for metrics alone. Raises UserError for what is no address."""
        self.address, self._metrics = _address("--to", url), _address("--metrics", metrics or url)
        headers = {"X-Request-Id": promotion, **({"Authorization": f"Bearer {key}"} if key else {})}
        self._client = httpx2.Client(base_url=url.rstrip("/"), headers=headers, timeout=ASKING_S)

    def __enter__(self) -> AdminRoutes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def serving(self, name: str) -> Serving:
        """Raises Refused where the service has no such product."""
        answer = self._json("GET", "/v1/models")
        try:
            entries = [each for each in answer["models"] if each["name"] == name]
            live = [(each["version"], each.get("digest")) for each in entries if each["live"]]
            tried = [each["version"] for each in entries if each.get("rollout")]
            others = sorted({each["name"] for each in answer["models"]})
        except (KeyError, TypeError):
            raise Unreachable(f"{self.address} does not answer as Fitscore does: check --to") from None
        if not live:
            raise Refused(404, f"{self.address} serves no product {name!r}; it serves {', '.join(others) or 'none'}")
        fault = (answer.get("faults") or {}).get(name)
        return Serving(*live[0], tuple(each["version"] for each in entries), tried[0] if tried else None, fault)

    def canary(self, name: str, version: str, share: float) -> None:
        """Load the version beside the live one and answer a share with it; 0 ends that. Raises Refused."""
        self._post(name, version, "canary", {"share": share})

    def activate(self, name: str, version: str) -> None:
        """Make the version live. Raises Refused."""
        self._post(name, version, "activate")

    def roll_back(self, name: str, version: str) -> None:
        """Return from this version to the one before it. Raises Refused."""
        self._post(name, version, "rollback")

    def figures(self, name: str, version: str) -> Figures:
        """What the service counted so far. A service without a rollout has no figures of versions."""
        values: dict[str, dict[str, float]] = {}
        requests = failed = 0.0
        for sample in self._samples():
            series, labels, value = sample.name.removeprefix("fitscore_"), sample.labels, sample.value
            series = series.removesuffix("_total")
            if series == "requests" and labels.get("route") in ("/score", "/rerank"):
                requests += value
                failed += value if labels.get("outcome") in FAILED else 0.0
            elif {"version", "stage"} <= labels.keys() and labels.get("model", name) == name:
                who = "live" if labels["stage"] == "live" else "candidate" if labels["version"] == version else "other"
                values.setdefault(who, {})[series] = value
        live, candidate = (_seen(values.get(who, {})) for who in ("live", "candidate"))
        return Figures(live, candidate, values.get("candidate", {}).get("rollout_psi"), requests, failed)

    def _samples(self) -> list[Sample]:
        try:
            return [each for family in text_string_to_metric_families(self._scraped()) for each in family.samples]
        except ValueError:
            raise Unreachable(f"{self._metrics}/metrics is no page of metrics: check --metrics") from None

    def _scraped(self) -> str:
        if self._metrics == self.address:
            try:
                return self._ask("GET", "/metrics").text
            except Refused as error:
                raise Refused(error.status, f"{error}: name the address of its metrics with --metrics") from None
        try:
            return httpx2.get(f"{self._metrics}/metrics", timeout=ASKING_S).raise_for_status().text
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self._metrics}/metrics cannot be read ({type(error).__name__})") from None

    def _post(self, name: str, version: str, verb: str, body: Mapping[str, float] | None = None) -> None:
        path = f"/v1/models/{quote(name, safe='')}/{quote(version, safe='')}:{verb}"
        self._ask("POST", path, body, LOADING_S)

    def _json(self, method: str, path: str) -> dict[str, Any]:
        try:
            found = self._ask(method, path).json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unreachable(f"{self.address} does not answer as Fitscore does: check --to")
        return found

    def _ask(
        self, method: str, path: str, body: Mapping[str, float] | None = None, within: float = ASKING_S
    ) -> httpx2.Response:
        try:
            answer = self._client.request(method, path, json=body, timeout=within)
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise Unreachable(f"{self.address} cannot be reached ({type(error).__name__}): check --to") from None
        if answer.status_code >= 400:
            raise Refused(answer.status_code, f"{self.address}: {_reason(answer)}")
        return answer


def _address(option: str, url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{option} {url}: name an address, such as http://127.0.0.1:8000")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _seen(values: Mapping[str, float]) -> Seen:
    names = ("version_requests", "version_failed", "version_model_seconds")
    return Seen(*(values.get(each, 0.0) for each in names))


def _reason(answer: httpx2.Response) -> str:
    if answer.status_code == 401:
        return "the key is not one of the service's: give --key one with the scope admin"
    if answer.status_code == 403:
        return "the key has no scope admin: give --key another one"
    try:
        problem = answer.json()
        said = problem.get("detail") or problem.get("title")
    except (ValueError, AttributeError):
        said = None
    return f"{said or answer.reason_phrase} ({answer.status_code})"
