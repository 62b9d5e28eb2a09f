"""Every knob: its default, unit and reason. FITSCORE_ and the field's name in capitals is its environment name.

The only file that knows how the environment spells a setting.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PREFIX = "FITSCORE_"
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class BadSetting(Exception):
    """A setting that cannot be used; the sentence names it."""


def _own_cores() -> int:
    return len(os.sched_getaffinity(0))


class Settings(BaseModel):
    """Defaults suit one process on one small machine behind a load balancer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on; loopback unless opened on purpose")
    port: int = Field(8000, ge=0, le=65535, description="port; 0 takes a free one")
    bundle: Path = Field(Path("models/jobs-v1"), description="folder of the model that is live at start")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="cuda fails hard where there is none")
    gpu_run: Literal["plain", "bound", "graphs", "tensorrt"] = Field(
        "plain", description="shapes as they come, fixed ones, CUDA graphs, or TensorRT (builds engines at first start)"
    )
    engines: Path = Field(Path("engines"), description="folder where TensorRT keeps what it built for this GPU")
    signer_file: Path | None = Field(None, description="public key (PEM, Ed25519): only bundles it signed are loaded")
    trial_s: Seconds = Field(30.0, description="s to load a later model in a child first, as `grace_s`; 0: no child")
    trial_bytes: Positive = Field(4 << 30, description="bytes that it may take there, on a CPU")
    rollout_failures: float = Field(0.01, ge=0, le=1, description="a candidate's rate of failures above the live one's")
    rollout_slowness: float = Field(1.5, ge=1, le=100, description="its time on the model, in times the live one's")
    rollout_drift: float = Field(0.25, gt=0, le=100, description="PSI of its scores against the live model's")
    rollout_min_requests: Positive = Field(100, description="requests of each model before either is held against it")
    rollout_min_scores: Positive = Field(
        2000, description="scores of each before drift is: 200 seem to drift by chance"
    )
    threads: int = Field(default_factory=_own_cores, ge=1, description="cores of one model run; all there are")
    max_body_bytes: Positive = Field(4 << 20, description="bytes; 1,000 candidates of 4 KiB")
    max_header_bytes: Positive = Field(32 << 10, description="bytes of all headers")
    max_headers: Positive = Field(100, description="number of headers")
    hosts: str = Field("", description='names to answer to, as "scores.example.org,*.internal"; empty: every name')
    max_connections: int = Field(1024, ge=1, le=100_000, description="open at once; over it the longest idle one goes")
    head_s: float = Field(10.0, gt=0, le=3600, description="seconds for a request's head to come whole")
    body_s: float = Field(10.0, gt=0, le=3600, description="seconds for its body; 4 MiB take 4 at 1 MiB a second")
    answer_s: float = Field(10.0, gt=0, le=3600, description="seconds in which a client must take what it was sent")
    max_candidates: int = Field(1000, ge=1, le=10_000, description="candidates of one request")
    max_text_chars: Positive = Field(50_000, description="characters of one text; the model reads far fewer")
    default_deadline_ms: int = Field(5000, ge=1, le=600_000, description="ms, for callers that state none")
    max_backlog_s: Seconds = Field(10.0, description="seconds of accepted work; beyond it all is refused")
    max_batch_tokens: Positive = Field(8192, description="padded tokens of one batch; bounds memory")
    max_batch_ms: Positive = Field(40, description="predicted ms of one batch: how long the urgent wait")
    patience_ms: Positive = Field(500, description="ms after which later requests overtake no more")
    hang_s: float = Field(10.0, gt=0, le=3600, description="seconds after which a run counts as hung")
    token_cache_bytes: Positive = Field(64 << 20, description="bytes of cached candidate token ids")
    member_cache_bytes: Positive = Field(64 << 20, description="bytes of members' states; one takes under 1 MiB")
    max_ahead: Positive = Field(20_000, description="candidates that wait to be encoded at leisure; 1 KiB each")
    # lmdb: for the processes of one machine; redis: (also rediss:, unix:) for several replicas
    store: str = Field(
        "memory",
        pattern=r"^(memory|lmdb:.+|rediss?://.+|unix://.+)$",
        repr=False,
        description="where candidates are kept: memory | lmdb:FOLDER | redis://[user:password@]host:port/db",
    )
    store_bytes: Positive = Field(256 << 20, description="bytes of texts; a Redis server has its own maxmemory")
    slots_bytes: Positive = Field(256 << 20, description="bytes of candidates' slots in memory; one takes a few KiB")
    slots_file_bytes: Positive = Field(8 << 30, description="bytes of slots in an lmdb folder; 1 M take 3.9 GiB")
    # "name:key:scope+scope,..." with the scopes score, candidates and admin
    api_keys: str = Field("", repr=False, description="who may call, and what; empty: open to whoever reaches it")
    keys_file: Path | None = Field(None, description="JSON with digests of keys; read again when it changes")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of /metrics and probes alone; 0: the port of all")
    audit: Path | None = Field(None, description="folder of the audit log; none: no log")
    audit_key_file: Path | None = Field(None, description="file with its secret: 32 random bytes or more")
    audit_texts: Literal["digest", "sealed"] = Field("digest", description="sealed: its owner can read and replay them")
    audit_bytes: Positive = Field(4 << 30, description="bytes of the whole log; the oldest segments go first")
    audit_segment_bytes: Positive = Field(64 << 20, description="bytes of one of its files")
    audit_waiting_bytes: Positive = Field(64 << 20, description="bytes that may wait for the disk")
    audit_when_full: Literal["refuse", "drop"] = Field("refuse", description="scoring, or records (counted)")
    quota_pairs_per_s: float = Field(0.0, ge=0, le=1e9, description="pairs a second for each caller; 0: no quota")
    quota_burst: Positive = Field(2000, description="pairs a caller may send at once")
    drain_delay_s: Seconds = Field(0.5, description="seconds of serving on after SIGTERM while not ready")
    keep_alive_s: int = Field(75, ge=1, le=3600, description="s an idle connection lives; balancers let go after 60")
    grace_s: int = Field(30, ge=1, le=3600, description="seconds to finish what runs after that")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="texts are never logged")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment. Raises BadSetting for an unknown name or a bad value."""
    given = {name.removeprefix(PREFIX).lower(): text for name, text in environment.items() if name.startswith(PREFIX)}
    for name in given:
        if name not in Settings.model_fields:
            near = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
            raise BadSetting(f"{PREFIX}{name.upper()} is not a setting{hint}")
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise BadSetting(f"{PREFIX}{str(first['loc'][0]).upper()}: {first['msg']}") from None
