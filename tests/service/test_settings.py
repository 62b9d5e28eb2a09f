"""Settings: every knob has a name in the environment, and nothing wrong is passed over."""

import pytest

from models.slots.lmdb_file import MAX_BYTES
from service.settings import BadSetting, Settings, read_settings


def test_without_an_environment_the_defaults_count() -> None:
    settings = read_settings({"PATH": "/bin", "OTHER_PORT": "1"})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.threads >= 1


def test_the_service_and_bulk_encoding_give_the_slot_file_the_same_size() -> None:
    assert Settings().slots_file_bytes == MAX_BYTES


def test_every_knob_is_described_and_can_be_set() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    named = read_settings({"FITSCORE_PORT": "9000", "FITSCORE_MAX_BATCH_MS": "25", "FITSCORE_BUNDLE": "models/x"})
    assert (named.port, named.max_batch_ms, str(named.bundle)) == (9000, 25, "models/x")


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
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
    ],
)
def test_a_value_that_cannot_be_used_is_an_error_that_names_the_setting(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=f"^FITSCORE_{name}: "):
        read_settings({f"FITSCORE_{name}": text})


def test_settings_do_not_change_and_do_not_show_keys() -> None:
    settings = read_settings({"FITSCORE_API_KEYS": "web:s3cret:score"})
    assert "s3cret" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.__setattr__("port", 1)
