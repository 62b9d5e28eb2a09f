"""What the dashboard shows: rows of panels in the order in which one looks when something is wrong.

Every series that the service exports is in a panel or in `NOT_SHOWN`. Knows PromQL and nothing of Grafana's JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

SELECTED = 'job="fitscore", namespace=~"$namespace", instance=~"$instance"'
SCORING = f'{SELECTED}, route=~"/score|/rerank"'
NOT_SHOWN = {
    "process_virtual_memory_bytes": "says nothing: the system reserves it and does not give it",
    "process_start_time_seconds": "the alert FitscoreRestarts reads it",
    "process_max_fds": "a constant",
    "fitscore_slots_bytes": "follows fitscore_slots_entries",
    "fitscore_drift_counted": "the weight of fitscore_drift_psi; the runbook reads it",
    "fitscore_request_pairs": "its mean is pairs by requests, both shown",
}
"""Series that no panel shows, and why."""


@dataclass(frozen=True)
class Panel:
    """A panel: a unit of Grafana, and pairs of a PromQL expression and its legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""


def rate(series: str, by: str = "", labels: str = SELECTED) -> str:
    """The rate of a counter, summed over all but `by`."""
    return f"sum by ({by}) (rate({series}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, series: str, by: str = "", labels: str = SELECTED) -> str:
    """A quantile of a histogram."""
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({grouped}) (rate({series}_bucket{{{labels}}}[$__rate_interval])))"


def mean(series: str, by: str, labels: str = SELECTED) -> str:
    """The mean of a histogram."""
    return f"{rate(f'{series}_sum', by, labels)} / {rate(f'{series}_count', by, labels)}"


def ratio(series: str, label: str, value: str) -> str:
    """The share of a counter that has this label's value."""
    chosen = f'{SELECTED}, {label}="{value}"'
    return f"{rate(series, '', chosen)} / {rate(series)}"


def gauge(series: str, by: str = "instance", how: str = "sum") -> str:
    return f"{how} by ({by}) ({series}{{{SELECTED}}})"


OWED = rate("fitscore_requests_total", "", f'{SCORING}, outcome=~"ok|partial|overload|unavailable|deadline|error"')
GOOD = rate("fitscore_requests_total", "", f'{SCORING}, outcome="ok"')
VERSION_SECONDS = rate("fitscore_version_model_seconds_total", "version, stage")
VERSION_REQUESTS = rate("fitscore_version_requests_total", "version, stage")
BUSY = rate("fitscore_batch_duration_seconds_sum", "instance")
BATCH_P99 = quantile(0.99, "fitscore_batch_duration_seconds", "lane")
STAGE_P99 = quantile(0.99, "fitscore_stage_duration_seconds", "stage")
MODEL = gauge("fitscore_model_info", "name, version, policy, precision, device", "count")
SCORE_SHARE = (
    f"sum by (head, le) (increase(fitscore_head_score_bucket{{{SELECTED}}}[1h]))"
    f" / on (head) group_left () sum by (head) (increase(fitscore_head_score_count{{{SELECTED}}}[1h]))"
)
DRIFT = f"max by (head) (abs({SCORE_SHARE} - ({SCORE_SHARE.replace('[1h]', '[1h] offset 1d')})))"
ROWS: dict[str, tuple[Panel, ...]] = {
    "Traffic": (
        Panel("Requests by outcome", "reqps", ((rate("fitscore_requests_total", "outcome", SCORING), "{{outcome}}"),)),
        Panel("Requests by route", "reqps", ((rate("fitscore_requests_total", "route"), "{{route}}"),)),
        Panel(
            "Goodput",
            "percentunit",
            ((f"{GOOD} / {OWED}", "scored in time"),),
            "Share of the requests that deserved scores and got all of them in time.",
        ),
    ),
    "Latency": (
        Panel(
            "Latency of scoring requests",
            "s",
            tuple(
                (quantile(share, "fitscore_request_duration_seconds", "", SCORING), f"p{share * 100:g}")
                for share in (0.5, 0.9, 0.99)
            ),
        ),
        Panel("Latency by stage, p99", "s", ((STAGE_P99, "{{stage}}"),)),
        Panel("Latency by stage, mean", "s", ((mean("fitscore_stage_duration_seconds", "stage"), "{{stage}}"),)),
    ),
    "Admission": (
        Panel(
            "Backlog",
            "s",
            ((gauge("fitscore_backlog_seconds"), "{{instance}}"),),
            "Predicted time of the accepted work: what a new request would wait for. Autoscaling follows it.",
        ),
        Panel("Queue", "short", ((gauge("fitscore_queue_items"), "{{instance}}"),)),
        Panel(
            "Work given up",
            "cps",
            (
                (rate("fitscore_expired_items_total", "lane"), "late: {{lane}}"),
                (rate("fitscore_departed_items_total", "lane"), "cancelled: {{lane}}"),
            ),
        ),
    ),
    "Batches": (
        Panel("Items per batch, mean", "short", ((mean("fitscore_batch_items", "lane"), "{{lane}}"),)),
        Panel("Padding, mean", "percentunit", ((mean("fitscore_batch_padding_ratio", "lane"), "{{lane}}"),)),
        Panel("Model time per batch, p99", "s", ((BATCH_P99, "{{lane}}"),)),
        Panel("Busy share of the model thread", "percentunit", ((BUSY, "{{instance}}"),)),
        Panel("Failed model runs", "cps", ((rate("fitscore_session_run_errors_total", "kind"), "{{kind}}"),)),
        Panel(
            "Background encoding",
            "short",
            (
                (gauge("fitscore_ahead_waiting"), "waiting: {{instance}}"),
                (rate("fitscore_ahead_dropped_total"), "dropped per second"),
            ),
        ),
    ),
    "Candidates": (
        Panel("Candidates by status", "cps", ((rate("fitscore_pairs_total", "status"), "{{status}}"),)),
        Panel(
            "Tokens cut off or unknown",
            "percentunit",
            (
                (ratio("fitscore_text_tokens_total", "part", "cut"), "cut off, of those read and cut"),
                (ratio("fitscore_text_tokens_total", "part", "unknown"), "unknown to the vocabulary"),
            ),
        ),
        Panel("Warnings about texts", "cps", ((rate("fitscore_text_warnings_total", "code"), "{{code}}"),)),
        Panel(
            "Warm share",
            "percentunit",
            (
                (ratio("fitscore_slot_lookups_total", "result", "hit"), "candidates"),
                (ratio("fitscore_member_lookups_total", "result", "hit"), "members"),
            ),
            "Found instead of encoded.",
        ),
        Panel(
            "Lookups",
            "cps",
            (
                (rate("fitscore_slots_lookups_total", "found"), "slots: {{found}}"),
                (rate("fitscore_token_cache_hits_total"), "token ids: found"),
                (rate("fitscore_token_cache_misses_total"), "token ids: not found"),
            ),
        ),
    ),
    "Products": (
        Panel(
            "Requests by product",
            "reqps",
            ((rate("fitscore_model_requests_total", "model, outcome"), "{{model}}: {{outcome}}"),),
        ),
        Panel(
            "Candidates by product",
            "cps",
            ((rate("fitscore_model_pairs_total", "model, status"), "{{model}}: {{status}}"),),
        ),
        Panel(
            "Model time by product",
            "percentunit",
            ((rate("fitscore_model_run_seconds_total", "model"), "{{model}}"),),
            "Share of a second of model time that each second brings.",
        ),
        Panel("Backlog by product", "s", ((gauge("fitscore_model_unfinished_seconds", "model"), "{{model}}"),)),
        Panel(
            "Encoding ahead, and fills of a new version",
            "short",
            (
                (gauge("fitscore_model_ahead_waiting", "model"), "waiting: {{model}}"),
                (gauge("fitscore_fill_candidates", "model, result", "max"), "fill, {{result}}: {{model}}"),
                (gauge("fitscore_fill_running", "model", "max"), "fill running: {{model}}"),
            ),
        ),
    ),
    "Store": (
        Panel(
            "Stored",
            "short",
            (
                (gauge("fitscore_candidate_store_entries", "instance", "max"), "texts: {{instance}}"),
                (gauge("fitscore_slots_entries", "instance", "max"), "slots: {{instance}}"),
            ),
        ),
        Panel(
            "Memory of stores and caches",
            "bytes",
            (
                (gauge("fitscore_candidate_store_bytes"), "texts: {{instance}}"),
                (gauge("fitscore_slots_memory_bytes"), "slots: {{instance}}"),
                (gauge("fitscore_token_cache_bytes"), "token ids: {{instance}}"),
            ),
        ),
        Panel(
            "Store failures",
            "short",
            (
                (gauge("fitscore_candidate_store_up", "instance", "min"), "up: {{instance}}"),
                (rate("fitscore_candidate_store_errors_total"), "errors per second"),
                (rate("fitscore_candidate_store_damaged_total"), "damaged entries per second"),
                (rate("fitscore_slot_store_errors_total", "call"), "slots, {{call}}"),
            ),
        ),
    ),
    "Scores": (
        Panel(
            "Scores by head",
            "percentunit",
            tuple(
                (quantile(share, "fitscore_head_score", "head"), f"{{{{head}}}} p{share * 100:g}")
                for share in (0.1, 0.5, 0.9)
            ),
        ),
        Panel("Scores by head, mean", "percentunit", ((mean("fitscore_head_score", "head"), "{{head}}"),)),
        Panel(
            "Drift within a day",
            "percentunit",
            ((DRIFT, "{{head}}"),),
            "Greatest share of an hour's scores that crossed some bound since the same hour a day before.",
        ),
        Panel(
            "Drift from the reference (PSI)",
            "short",
            ((gauge("fitscore_drift_psi", "kind, of, version", "max"), "{{kind}} of {{of}}, {{version}}"),),
            "An hour against the bundle's validation data: scores, lengths, unknown tokens. Above 0.25 it drifts.",
        ),
    ),
    "Models": (
        Panel("Live model", "short", ((MODEL, "{{name}} {{version}} ({{policy}}, {{precision}} on {{device}})"),)),
        Panel(
            "Rollout",
            "short",
            (
                (VERSION_REQUESTS, "requests: {{version}} {{stage}}"),
                (rate("fitscore_version_failed_total", "version, stage"), "failed: {{version}} {{stage}}"),
                (gauge("fitscore_rollout_share", "version", "max"), "share: {{version}}"),
                (gauge("fitscore_rollouts_failed_total", "instance"), "ended: {{instance}}"),
            ),
        ),
        Panel(
            "Rollout beside the live model",
            "short",
            (
                (f"{VERSION_SECONDS} / {VERSION_REQUESTS}", "model seconds: {{version}} {{stage}}"),
                (gauge("fitscore_rollout_psi", "version", "max"), "PSI: {{version}}"),
            ),
        ),
    ),
    "Process": (
        Panel(
            "Ready and alive",
            "short",
            (
                (gauge("fitscore_ready", "instance", "min"), "ready: {{instance}}"),
                (gauge("fitscore_engine_alive", "instance", "min"), "model thread: {{instance}}"),
            ),
        ),
        Panel("CPU", "short", ((rate("process_cpu_seconds_total", "instance"), "{{instance}}"),)),
        Panel("Memory", "bytes", ((gauge("process_resident_memory_bytes"), "{{instance}}"),)),
        Panel(
            "Event loop and collector, p99",
            "s",
            (
                (quantile(0.99, "fitscore_event_loop_lag_seconds", "instance"), "loop: {{instance}}"),
                (quantile(0.99, "fitscore_gc_pause_seconds", "generation"), "collector, generation {{generation}}"),
            ),
        ),
        Panel(
            "Connections",
            "short",
            (
                (gauge("process_open_fds"), "open files: {{instance}}"),
                (rate("fitscore_connections_cut_total", "reason"), "cut: {{reason}}"),
            ),
        ),
        Panel(
            "Audit log",
            "short",
            (
                (gauge("fitscore_audit_sound", "instance", "min"), "writable: {{instance}}"),
                (gauge("fitscore_audit_waiting_bytes"), "waiting bytes: {{instance}}"),
                (gauge("fitscore_audit_written"), "written: {{instance}}"),
                (gauge("fitscore_audit_dropped"), "dropped: {{instance}}"),
            ),
            "Empty without an audit log.",
        ),
    ),
}
