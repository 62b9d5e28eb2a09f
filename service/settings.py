"""Every setting in eight groups: its environment name, default, unit and meaning.

The environment name is FITSCORE_ and the field's alias, or else its name, in capitals. No other file knows this.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PREFIX = "FITSCORE_"
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]


class BadSetting(Exception):
    """A setting is unknown or its value is not valid; the message names it."""


def _own_cores() -> int:
    return len(os.sched_getaffinity(0))


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(_Group):
    """Address, connections, shutdown and log."""

    host: str = Field("127.0.0.1", description="Address to listen on. The default accepts local connections only.")
    port: Port = Field(8000, description="Port to listen on. 0 selects a free port.")
    metrics_port: Port = Field(0, description="Separate port for /metrics and the probes. 0 serves them on `port`.")
    max_connections: int = Field(
        1024,
        ge=1,
        le=100_000,
        description="Maximum number of open connections. Above it, the connection that was idle longest is closed.",
    )
    head_s: PositiveSeconds = Field(10.0, description="Seconds for the headers of a request to arrive.")
    body_s: PositiveSeconds = Field(10.0, description="Seconds for the body of a request to arrive.")
    answer_s: PositiveSeconds = Field(10.0, description="Seconds for a client to read its response.")
    keep_alive_s: int = Field(
        75, ge=1, le=3600, description="Seconds until an idle connection is closed. Load balancers often use 60."
    )
    drain_delay_s: Seconds = Field(
        0.5, description="Seconds after SIGTERM during which /readyz fails and requests are still served."
    )
    grace_s: int = Field(30, ge=1, le=3600, description="Seconds to finish running requests after the drain delay.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level of log lines.")


class AccessSettings(_Group):
    """Who may call, and how much."""

    hosts: str = Field(
        "", description='Allowed Host headers, as "scores.example.org,*.internal". Empty allows every host.'
    )
    api_keys: str = Field(
        "",
        repr=False,
        description='API keys, as "name:key:scope+scope,..." with the scopes score, candidates and admin.'
        " Without keys and without a keys file, every caller has every scope.",
    )
    keys_file: Path | None = Field(
        None, description="JSON file with SHA-256 digests of API keys. It is read again when it changes."
    )
    quota_pairs_per_s: float = Field(
        0.0, ge=0, le=1e9, description="Pairs per second that each caller may score on average. 0 sets no quota."
    )
    quota_burst: Positive = Field(2000, description="Maximum pairs that a caller may score at once.")


class LimitSettings(_Group):
    """Sizes and deadlines of requests."""

    max_body_bytes: Positive = Field(
        4 << 20, description="Maximum bytes of a request body. 1,000 candidates of 4 KiB fit."
    )
    max_header_bytes: Positive = Field(
        32 << 10, description="Maximum bytes of all headers of a request, with its path."
    )
    max_headers: Positive = Field(100, description="Maximum number of headers of a request.")
    max_candidates: int = Field(1000, ge=1, le=10_000, description="Maximum number of candidates in one request.")
    max_text_chars: Positive = Field(
        50_000, description="Maximum characters of one member or candidate. The model reads far fewer."
    )
    default_deadline_ms: int = Field(
        5000, ge=1, le=600_000, description="Deadline in milliseconds of a request that states none."
    )
    max_backlog_s: Seconds = Field(
        10.0, description="Seconds of accepted work above which every further request is rejected."
    )


class ModelSettings(_Group):
    """The model, where it runs, and how later models are checked."""

    bundle: Path = Field(Path("models/jobs-v1"), description="Folder of the model that is live at the start.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Device of the model. `cuda` fails if there is no GPU; `auto` then uses the CPU."
    )
    gpu_run: Literal["plain", "bound", "graphs", "tensorrt"] = Field(
        "plain",
        description="How a GPU runs the model: with any shapes, with fixed shapes, with CUDA graphs, or with TensorRT"
        " engines that the first start builds.",
    )
    engines: Path = Field(Path("engines"), description="Folder for the TensorRT engines of this GPU.")
    threads: int = Field(
        default_factory=_own_cores, ge=1, description="Cores of one model run. The default is all cores."
    )
    signer_file: Path | None = Field(
        None, description="Ed25519 public key in PEM. If it is set, only bundles with its signature are loaded."
    )
    trial_s: Seconds = Field(
        30.0, description="Seconds for a later model to load in a child process first. 0 loads it without that check."
    )
    trial_bytes: Positive = Field(4 << 30, description="Maximum bytes of memory of that child process, on a CPU.")


class BatchingSettings(_Group):
    """Batches, queue and caches of the model's inputs."""

    max_batch_tokens: Positive = Field(
        8192, description="Maximum padded tokens of one batch. It bounds the memory of a run."
    )
    max_batch_ms: Positive = Field(
        40, description="Maximum predicted milliseconds of one batch. An urgent request waits for one batch at most."
    )
    patience_ms: Positive = Field(
        500, description="Milliseconds after which a waiting request is no longer overtaken by later ones."
    )
    hang_s: PositiveSeconds = Field(10.0, description="Seconds after which a model run is considered hung.")
    token_cache_bytes: Positive = Field(64 << 20, description="Maximum bytes of the cache of candidates' token ids.")
    member_cache_bytes: Positive = Field(
        64 << 20, description="Maximum bytes of the cache of members' states. One state takes less than 1 MiB."
    )
    max_ahead: Positive = Field(
        20_000, description="Maximum number of candidates that wait for background encoding. Each takes about 1 KiB."
    )


class RolloutSettings(_Group):
    """When a shadow or canary model is stopped."""

    failures: float = Field(
        0.01,
        alias="rollout_failures",
        ge=0,
        le=1,
        description="Maximum failure rate above that of the live model, as a fraction.",
    )
    slowness: float = Field(
        1.5,
        alias="rollout_slowness",
        ge=1,
        le=100,
        description="Maximum time on the model, as a multiple of the live model's.",
    )
    drift: float = Field(
        0.25,
        alias="rollout_drift",
        gt=0,
        le=100,
        description="Maximum drift of the scores from the live model's, as population stability index.",
    )
    min_requests: Positive = Field(
        100, alias="rollout_min_requests", description="Requests of each model before failures and time are compared."
    )
    min_scores: Positive = Field(
        2000,
        alias="rollout_min_scores",
        description="Scores of each model before drift is compared. With 200, chance looks like drift.",
    )


class StoreSettings(_Group):
    """Stored candidates: their texts, and their slots of a split model."""

    url: str = Field(
        "memory",
        alias="store",
        pattern=r"^(memory|lmdb:.+|rediss?://.+|unix://.+)$",
        repr=False,
        description="Where candidates are kept: `memory`; `lmdb:FOLDER` for the processes of one machine; or"
        " `redis://[user:password@]host:port/db` (also rediss:, unix:) for several replicas.",
    )
    texts_bytes: Positive = Field(
        256 << 20, alias="store_bytes", description="Maximum bytes of texts. A Redis server has its own maxmemory."
    )
    slots_bytes: Positive = Field(
        256 << 20, description="Maximum bytes of slots in memory. The slots of one candidate take a few KiB."
    )
    slots_file_bytes: Positive = Field(
        8 << 30, description="Maximum bytes of slots in an LMDB folder. A million candidates take 3.9 GiB."
    )


class AuditSettings(_Group):
    """The audit log of scored requests."""

    folder: Path | None = Field(None, alias="audit", description="Folder of the audit log. Without it there is no log.")
    key_file: Path | None = Field(
        None, alias="audit_key_file", description="File with the secret of the log: 32 random bytes or more."
    )
    texts: Literal["digest", "sealed"] = Field(
        "digest",
        alias="audit_texts",
        description="How texts are recorded: as digests, or encrypted so that the owner of the key can replay them.",
    )
    total_bytes: Positive = Field(
        4 << 30,
        alias="audit_bytes",
        description="Maximum bytes of the whole log. The oldest segments are deleted first.",
    )
    segment_bytes: Positive = Field(
        64 << 20, alias="audit_segment_bytes", description="Maximum bytes of one segment file."
    )
    waiting_bytes: Positive = Field(
        64 << 20, alias="audit_waiting_bytes", description="Maximum bytes of records that wait for the disk."
    )
    when_full: Literal["refuse", "drop"] = Field(
        "refuse",
        alias="audit_when_full",
        description="What happens when no record can be written: requests are refused, or records are dropped.",
    )


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


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment. Raises BadSetting for an unknown name or a value that is not valid."""
    given = {name.removeprefix(PREFIX).lower(): text for name, text in environment.items() if name.startswith(PREFIX)}
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
