"""Settings: each has a name in the environment, and an unknown name or a bad value is an error."""

import pytest

from models.slots.lmdb_file import MAX_BYTES
from service.settings import NAMES, BadSetting, Settings, read_settings

ENVIRONMENT_NAMES = """
    access_log answer_s api_keys audit audit_bytes audit_grading audit_key_file audit_segment_bytes audit_texts
    audit_waiting_bytes audit_when_full body_s bundle catalogue cors_origins default_deadline_ms device
    drain_delay_s engines gpu_run grace_s gzip_min_bytes hang_s head_s host hosts keep_alive_s kept_texts_bytes
    keys_file log_level max_ahead max_backlog_s max_batch_ms max_batch_tokens max_body_bytes max_candidates
    max_connections max_header_bytes max_headers max_text_chars member_cache_bytes metrics_port more_bundles otlp
    patience_ms playground port quota_burst quota_pairs_per_s rollout_drift rollout_failures rollout_min_requests
    rollout_min_scores rollout_slowness signer_file slots_bytes slots_file_bytes store store_bytes threads
    token_cache_bytes trace_share trial_bytes trial_s
""".split()


def test_without_an_environment_the_defaults_apply() -> None:
    settings = read_settings({"PATH": "/bin", "OTHER_PORT": "1"})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert settings.model.threads >= 1


def test_the_service_and_bulk_encoding_give_the_slot_file_the_same_size() -> None:
    assert Settings().store.slots_file_bytes == MAX_BYTES


def test_the_environment_names_are_stable() -> None:
    assert sorted(NAMES) == ENVIRONMENT_NAMES


def test_every_setting_is_described_and_can_be_set() -> None:
    groups = [type(each.default).model_fields for each in Settings.model_fields.values()]
    assert all(field.description for group in groups for field in group.values())
    named = read_settings({"FITSCORE_PORT": "9000", "FITSCORE_MAX_BATCH_MS": "25", "FITSCORE_BUNDLE": "models/x"})
    assert (named.server.port, named.batching.max_batch_ms, str(named.model.bundle)) == (9000, 25, "models/x")


SERVICE_LINKS = {
    "FITSCORE_SERVICE_HOST": "10.96.0.10",
    "FITSCORE_SERVICE_PORT": "80",
    "FITSCORE_SERVICE_PORT_HTTP": "80",
    "FITSCORE_PORT": "tcp://10.96.0.10:80",
    "FITSCORE_PORT_80_TCP": "tcp://10.96.0.10:80",
    "FITSCORE_PORT_80_TCP_PROTO": "tcp",
    "FITSCORE_PORT_80_TCP_PORT": "80",
    "FITSCORE_PORT_80_TCP_ADDR": "10.96.0.10",
    "FITSCORE_METRICS_SERVICE_HOST": "10.96.0.11",
    "FITSCORE_METRICS_PORT": "tcp://10.96.0.11:8001",
    "FITSCORE_CANARY_PORT_53_UDP_ADDR": "10.96.0.12",
}


def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_setting() -> None:
    assert read_settings({**SERVICE_LINKS, "FITSCORE_HOST": "0.0.0.0"}).server.port == 8000


@pytest.mark.parametrize("name", ["FITSCORE_PORTS", "FITSCORE_SERVICE", "FITSCORE_PORT_TCP", "FITSCORE_HOST_SERVICE"])
def test_a_name_that_only_looks_like_one_of_these_is_an_error(name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        read_settings({name: "1"})


def test_a_port_with_another_scheme_is_an_error() -> None:
    with pytest.raises(BadSetting, match="FITSCORE_PORT"):
        read_settings({"FITSCORE_PORT": "http://10.96.0.10:80"})


def test_an_unknown_name_is_an_error_that_suggests_the_nearest() -> None:
    with pytest.raises(BadSetting, match=r"FITSCORE_PROT is not a setting; did you mean FITSCORE_PORT\?"):
        read_settings({"FITSCORE_PROT": "9000"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "70000"),
        ("PORT", ""),
        ("DEVICE", "tpu"),
        ("MAX_BODY_BYTES", "0"),
        ("HANG_S", "inf"),
        ("DRAIN_DELAY_S", "nan"),
        ("QUOTA_PAIRS_PER_S", "inf"),
        ("GRACE_S", "-1"),
        ("DEFAULT_DEADLINE_MS", "soon"),
        ("LOG_LEVEL", "loud"),
        ("BUNDLE", ""),
        ("ENGINES", ""),
        ("KEYS_FILE", ""),
        ("SIGNER_FILE", ""),
        ("AUDIT", ""),
        ("AUDIT_KEY_FILE", ""),
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_setting(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=f"^FITSCORE_{name}: "):
        read_settings({f"FITSCORE_{name}": text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LOG_LEVEL", "INFO"),
        ("DEVICE", "CPU"),
        ("GPU_RUN", "Plain"),
        ("AUDIT_TEXTS", " Sealed"),
        ("AUDIT_WHEN_FULL", "DROP"),
    ],
)
def test_the_case_of_a_choice_does_not_matter(name: str, text: str) -> None:
    settings = read_settings({f"FITSCORE_{name}": text})
    assert text.strip().lower() in repr(settings)


def test_settings_are_frozen_and_do_not_show_keys() -> None:
    settings = read_settings({"FITSCORE_API_KEYS": "web:s3cret:score"})
    assert "s3cret" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.server.__setattr__("port", 1)
