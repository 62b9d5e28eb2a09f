"""A key finds one model's slots of one text; an entry that was not packed under its key is rejected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DamagedEntry
from models.slots.codec import HEADER_BYTES, MODEL_KEY_BYTES, SlotFormat, Slots, content_key, model_key, pack, unpack

MODEL = model_key(b"graph", b"tokenizer")
KEY = content_key(MODEL, "data engineer")


def slots(rows: int = 4, width: int = 6, seed: int = 0) -> Slots:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float16)


@given(st.integers(1, 16), st.integers(1, 64), st.integers(0, 99))
def test_slots_are_unchanged_after_a_round_trip(rows: int, width: int, seed: int) -> None:
    packed = slots(rows, width, seed)
    found = unpack(KEY, pack(KEY, packed))
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, packed)


def test_unpacked_slots_are_read_only() -> None:
    assert not unpack(KEY, pack(KEY, slots())).flags.writeable


def test_another_model_or_another_text_has_another_key() -> None:
    other = model_key(b"another graph", b"tokenizer")
    keys = {content_key(model, text) for model in (MODEL, other) for text in ("a", "b", "")}
    assert len(keys) == 6
    assert all(16 <= len(key) <= 32 for key in keys)


def test_a_key_begins_with_its_model() -> None:
    assert KEY[:MODEL_KEY_BYTES] == MODEL


def test_the_boundaries_of_identity_parts_count() -> None:
    assert model_key(b"ab", b"c") != model_key(b"a", b"bc")


@given(st.data())
def test_an_entry_with_a_flipped_bit_is_rejected(data: st.DataObject) -> None:
    entry = bytearray(pack(KEY, slots()))
    place = data.draw(st.integers(0, len(entry) - 1))
    entry[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedEntry):
        unpack(KEY, bytes(entry))


@given(st.integers(0, 59))
def test_a_truncated_entry_is_rejected(length: int) -> None:
    with pytest.raises(DamagedEntry):
        unpack(KEY, pack(KEY, slots())[:length])


def test_an_entry_under_another_key_is_rejected() -> None:
    with pytest.raises(DamagedEntry):
        unpack(content_key(MODEL, "another"), pack(KEY, slots()))


def test_without_the_checksum_a_flipped_bit_would_be_a_wrong_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.slots.codec._checksum", lambda *_: 0)
    entry = bytearray(pack(KEY, slots()))
    entry[-1] ^= 1
    assert (unpack(KEY, bytes(entry)) != slots()).any()


def test_slots_of_whole_numbers_take_one_byte_each() -> None:
    packed = np.random.default_rng(0).integers(-127, 128, size=(4, 6)).astype(np.int8)
    entry = pack(KEY, packed)
    found = unpack(KEY, entry)
    assert len(entry) == HEADER_BYTES + 24
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, packed)


def test_slots_of_another_kind_of_number_do_not_fit() -> None:
    whole = SlotFormat((4, 6), np.dtype(np.int8))
    assert whole.zeros(2).dtype == np.int8
    fitting, half, wide = np.zeros((4, 6), np.int8), slots(), np.zeros((4, 7), np.int8)
    assert [each is fitting for each in whole.fitting([half, fitting, wide, None])] == [False, True, False, False]
    assert whole.fitting([half, wide]) == [None, None]
