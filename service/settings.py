"""Every setting in groups: its environment name, default, unit and meaning.

The environment name is FITSCORE_ and the field's alias, or else its name, in capitals. No other file knows this.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from service.cpu_quota import usable_cores

PREFIX = "FITSCORE_"
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]


class BadSetting(Exception):
    """A setting is unknown or its value is not valid; the message names it."""


def _named_path(value: object) -> object:
    if value == "":
        raise ValueError("is empty; leave the variable out for the default")
    return value


# An empty path would be the working directory.
FilePath = Annotated[Path, BeforeValidator(_named_path)]


def _listed(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


AnyCase = BeforeValidator(lambda value: value.strip().lower() if isinstance(value, str) else value)


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ServerSettings(_Group):
    """Address, connections, shutdown and log."""

    host: str = "127.0.0.1"
    """Address to listen on. The default accepts local connections only. An IPv6 address works with and without
    brackets."""
    port: Port = 8000
    """Port to listen on. 0 selects a free port."""
    metrics_port: Port = 0
    """Separate port for /metrics and the probes. 0 serves them on `port`."""
    playground: Literal["auto", "on", "off"] = "auto"
    """Pages for a browser: the playground at / and the API's documentation at /docs. `auto` serves them where `host`
    accepts local connections only."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Maximum number of open connections. Above it, the connection that was idle longest is closed."""
    head_s: PositiveSeconds = 10.0
    """Seconds for the headers of a request to arrive."""
    body_s: PositiveSeconds = 10.0
    """Seconds for the body of a request to arrive."""
    gzip_min_bytes: Annotated[int, Field(ge=0)] = 64 << 10
    """Bytes from which an answer is compressed for clients that accept gzip. 0 compresses none."""
    answer_s: PositiveSeconds = 10.0
    """Seconds for a client to read its response."""
    keep_alive_s: Annotated[int, Field(ge=1, le=3600)] = 75
    """Seconds until an idle connection is closed. Load balancers often use 60."""
    drain_delay_s: Seconds = 0.5
    """Seconds after SIGTERM during which /readyz fails and requests are still served."""
    grace_s: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds to finish running requests after the drain delay."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = "info"
    """Lowest level of log lines."""


class AccessSettings(_Group):
    """Who may call, and how much."""

    hosts: str = ""
    """Allowed Host headers, as "scores.example.org,*.internal". Empty allows every host."""
    api_keys: Annotated[str, Field(repr=False)] = ""
    """API keys, as "name:key:scope+scope,..." with the scopes score, candidates and admin. Without keys and without a
    keys file, every caller has every scope."""
    cors_origins: str = ""
    """Origins of web pages that may call, as "https://a.example,https://b.example"; "*" is any. Empty allows none."""
    keys_file: FilePath | None = None
    """JSON file with SHA-256 digests of API keys. It is read again when it changes."""
    quota_pairs_per_s: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Pairs per second that each caller may score on average. 0 sets no quota."""
    quota_burst: Positive = 2000
    """Maximum pairs that a caller may score at once."""


class LimitSettings(_Group):
    """Sizes and deadlines of requests."""

    max_body_bytes: Positive = 4 << 20
    """Maximum bytes of a request body. 1,000 candidates of 4 KiB fit."""
    max_header_bytes: Positive = 32 << 10
    """Maximum bytes of all headers of a request, with its path."""
    max_headers: Positive = 100
    """Maximum number of headers of a request."""
    max_candidates: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Maximum number of candidates in one request."""
    max_text_chars: Positive = 50_000
    """Maximum characters of one member or candidate. The model reads far fewer."""
    default_deadline_ms: Annotated[int, Field(ge=1, le=600_000)] = 5000
    """Deadline in milliseconds of a request that states none."""
    max_backlog_s: Seconds = 10.0
    """Seconds of accepted work above which every further request is rejected."""


class ModelSettings(_Group):
    """The model, where it runs, and how later models are checked."""

    bundle: FilePath = Path("models/jobs-v1")
    """Folder of the model that is live at the start."""
    more_bundles: Annotated[tuple[FilePath, ...], BeforeValidator(_listed)] = ()
    """Folders of further models, separated by commas: one for each further product. A request names a product by the
    name in its bundle's manifest. They share the model thread, the store and the memory of all caches."""
    device: Annotated[Literal["auto", "cpu", "cuda"], AnyCase] = "auto"
    """Device of the model. `cuda` fails if there is no GPU; `auto` then uses the CPU."""
    gpu_run: Annotated[Literal["plain", "bound", "graphs", "tensorrt"], AnyCase] = "plain"
    """How a GPU runs the model: with any shapes, with fixed shapes, with CUDA graphs, or with TensorRT engines that the
    first start builds."""
    engines: FilePath = Path("engines")
    """Folder for the TensorRT engines of this GPU."""
    threads: Annotated[int, Field(ge=1)] = Field(default_factory=usable_cores)
    """Cores of one model run. The default is all cores that affinity and CPU quota leave to the process."""
    signer_file: FilePath | None = None
    """Ed25519 public key in PEM. If it is set, only bundles with its signature are loaded."""
    trial_s: Seconds = 30.0
    """Seconds for a later model to load in a child process first. 0 loads it without that check."""
    trial_bytes: Positive = 4 << 30
    """Maximum bytes of memory of that child process, on a CPU."""


class BatchingSettings(_Group):
    """Batches, queue and caches of the model's inputs."""

    max_batch_tokens: Positive = 8192
    """Maximum padded tokens of one batch. It bounds the memory of a run."""
    max_batch_ms: Positive = 40
    """Maximum predicted milliseconds of one batch. An urgent request waits for one batch at most."""
    patience_ms: Positive = 500
    """Milliseconds after which a waiting request is no longer overtaken by later ones."""
    hang_s: PositiveSeconds = 10.0
    """Seconds after which a model run is considered hung."""
    token_cache_bytes: Positive = 64 << 20
    """Maximum bytes of the cache of candidates' token ids."""
    member_cache_bytes: Positive = 64 << 20
    """Maximum bytes of the cache of members' states. One state takes less than 1 MiB."""
    max_ahead: Positive = 20_000
    """Maximum number of candidates that wait for background encoding. Each takes about 1 KiB."""


class RolloutSettings(_Group):
    """When a shadow or canary model is stopped."""

    failures: Annotated[float, Field(alias="rollout_failures", ge=0, le=1)] = 0.01
    """Maximum failure rate above that of the live model, as a fraction."""
    slowness: Annotated[float, Field(alias="rollout_slowness", ge=1, le=100)] = 1.5
    """Maximum time on the model, as a multiple of the live model's."""
    drift: Annotated[float, Field(alias="rollout_drift", gt=0, le=100)] = 0.25
    """Maximum drift of the scores from the live model's, as population stability index."""
    min_requests: Annotated[Positive, Field(alias="rollout_min_requests")] = 100
    """Requests of each model before failures and time are compared."""
    min_scores: Annotated[Positive, Field(alias="rollout_min_scores")] = 2000
    """Scores of each model before drift is compared. By chance PSI reaches 0.25 with 200, but not 0.03 with 2,000."""


class StoreSettings(_Group):
    """Stored candidates: their texts, and their slots of a split model."""

    url: Annotated[str, Field(alias="store", pattern=r"^(memory|lmdb:.+|rediss?://.+|unix://.+)$", repr=False)] = (
        "memory"
    )
    """Where candidates are kept: `memory`; `lmdb:FOLDER` for the processes of one machine; or
    `redis://[user:password@]host:port/db` (also rediss:, unix:) for several replicas."""
    texts_bytes: Annotated[Positive, Field(alias="store_bytes")] = 256 << 20
    """Maximum bytes of texts. A Redis server has its own maxmemory."""
    slots_bytes: Positive = 256 << 20
    """Maximum bytes of slots in memory. The slots of one candidate take a few KiB."""
    slots_file_bytes: Positive = 8 << 30
    """Maximum bytes of slots in an LMDB folder. A million candidates take 3.9 GiB."""
    kept_texts_bytes: Annotated[int, Field(ge=0)] = 0
    """Maximum bytes of texts that are kept beside the slots, compressed, so that a new version can encode them before
    it goes live. 0 keeps none. A Redis server has its own maxmemory."""
    catalogue: FilePath | None = None
    """File of candidates from which a new version can be filled: JSON lines as in PUT /candidates, also gzipped."""


class AuditSettings(_Group):
    """The audit log of scored requests."""

    folder: Annotated[FilePath | None, Field(alias="audit")] = None
    """Folder of the audit log. Without it there is no log."""
    key_file: Annotated[FilePath | None, Field(alias="audit_key_file")] = None
    """File with the secret of the log: 32 random bytes or more."""
    texts: Annotated[Literal["digest", "sealed"], AnyCase, Field(alias="audit_texts")] = "digest"
    """How texts are recorded: as digests, or encrypted so that the owner of the key can replay them."""
    grading: Annotated[Literal["on", "off"], AnyCase, Field(alias="audit_grading")] = "off"
    """Whether the sealed texts of new records may be read for grading (`python -m training judge --live-log`)."""
    total_bytes: Annotated[Positive, Field(alias="audit_bytes")] = 4 << 30
    """Maximum bytes of the whole log. The oldest segments are deleted first."""
    segment_bytes: Annotated[Positive, Field(alias="audit_segment_bytes")] = 64 << 20
    """Maximum bytes of one segment file."""
    waiting_bytes: Annotated[Positive, Field(alias="audit_waiting_bytes")] = 64 << 20
    """Maximum bytes of records that wait for the disk."""
    when_full: Annotated[Literal["refuse", "drop"], AnyCase, Field(alias="audit_when_full")] = "refuse"
    """What happens when no record can be written: requests are refused, or records are dropped."""


class TracingSettings(_Group):
    """Traces and the access log. Neither holds a text, or the id of a member or candidate."""

    otlp: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """Address of a collector that takes OTLP over HTTP, as "http://collector:4318". Empty sends no traces. Needs the
    extra `otel`."""
    trace_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the requests without a `traceparent` that are traced. For one with it, its own flag decides."""
    access_log: Literal["on", "off"] = "off"
    """One line of JSON on stdout for each request, without probes and scrapes."""


class Settings(_Group):
    """All settings. The defaults suit one process on one small machine behind a load balancer."""

    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitSettings = LimitSettings()
    model: ModelSettings = ModelSettings()
    batching: BatchingSettings = BatchingSettings()
    rollout: RolloutSettings = RolloutSettings()
    store: StoreSettings = StoreSettings()
    audit: AuditSettings = AuditSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="before")
    @classmethod
    def _into_groups(cls, flat: Mapping[str, object]) -> dict[str, Any]:
        """Settings by their flat names, as the environment spells them, go into their groups."""
        groups: dict[str, Any] = {}
        for name, value in flat.items():
            groups.setdefault(NAMES.get(name, name), {})[name] = value
        return groups


NAMES = {
    field.alias or name: group
    for group, settings in Settings.model_fields.items()
    for name, field in type(settings.default).model_fields.items()
}
"""The group of each setting, by the setting's flat name."""


# What Kubernetes sets in each container for a Service named `fitscore` or `fitscore-...`.
_SERVICE_LINK = re.compile(r"(\w+_)?(service_host|service_port(_\w+)?|port_\d+_(tcp|udp|sctp)(_(proto|port|addr))?)")


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name)) or (
        name.endswith("port") and value.startswith(("tcp://", "udp://", "sctp://"))
    )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment. Raises BadSetting for an unknown name or a value that is not valid."""
    named = {name.removeprefix(PREFIX).lower(): text for name, text in environment.items() if name.startswith(PREFIX)}
    given = {name: text for name, text in named.items() if not _is_service_link(name, text)}
    for name in given:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
            raise BadSetting(f"{PREFIX}{name.upper()} is not a setting{hint}")
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise BadSetting(f"{PREFIX}{str(first['loc'][1]).upper()}: {first['msg']}") from None
