"""Several products in one store: no id of one product is an id of another."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.template import Content
from service.settings import StoreSettings
from service.store.codec import StoredRecord, pack, unpack
from service.store.factory import Store, open_store
from service.store.kept_texts import KeptTexts
from service.store.memory_store import MemoryTextStore
from service.store.shelves import DEFAULT, own_id, prefix_of

ODD = ["a", "\0", "\0a", "\0goods\0a", "\0\0goods\0a", "goods\0a", "\0jobs\0", "x" * 256, "\U0001f9c1/%"]
PRODUCTS = ["jobs", "goods", "good", "goods2"]
IDS = st.one_of(st.sampled_from(ODD), st.text(min_size=1, max_size=8))
NAMES = st.sampled_from([DEFAULT, *PRODUCTS])


@given(NAMES, IDS, NAMES, IDS)
def test_no_two_candidates_are_stored_under_one_id(one: str, one_id: str, other: str, other_id: str) -> None:
    stored, beside = prefix_of(one, one_id) + one_id, prefix_of(other, other_id) + other_id
    assert (stored == beside) == ((one, one_id) == (other, other_id))
    assert own_id(one, stored) == one_id
    assert (own_id(other, stored) is None) == (one != other)


@given(IDS.filter(lambda name: not name.startswith("\0")))
def test_the_default_product_stores_ids_as_they_are(candidate_id: str) -> None:
    assert prefix_of(DEFAULT, candidate_id) == ""


def opened(kind: str, folder: Path, **changes: object) -> Store:
    url = "memory" if kind == "memory" else f"lmdb:{folder}"
    return open_store(StoreSettings.model_validate({"store": url, **changes}), products=PRODUCTS)


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_each_product_reads_lists_and_deletes_its_own(tmp_path: Path, kind: str) -> None:
    store = opened(kind, tmp_path)
    expected: dict[str, dict[str, Content]] = {
        product: {name: f"{product} {place}" for place, name in enumerate(ODD)} for product in PRODUCTS
    }
    for product, entries in expected.items():
        store.shelves[product].texts.put(entries)
    assert store.shelves["goods"].texts.delete("\0a")
    del expected["goods"]["\0a"]
    for product, entries in expected.items():
        texts = store.shelves[product].texts
        assert texts.get_many(ODD) == [entries.get(name) for name in ODD]
        assert dict(entry for page in texts.pages(3) for entry in page) == entries
    store.close()


def test_a_store_of_one_product_is_read_by_a_service_of_several(tmp_path: Path) -> None:
    single = open_store(StoreSettings.model_validate({"store": f"lmdb:{tmp_path}"}))
    single.texts.put({"a": "text"})
    single.close()
    several = opened("lmdb", tmp_path)
    assert [several.shelves[name].texts.get_many(["a"]) for name in PRODUCTS[:2]] == [["text"], [None]]
    several.close()


def test_a_compressed_entry_is_read_like_any_other_and_is_smaller() -> None:
    record = StoredRecord("a", {"title": "senior data engineer " * 50, "pay": 2.5, "skills": ["x", "é"]}, 0)
    assert unpack(pack(record, compress=True)) == unpack(pack(record)) == record
    assert len(pack(record, compress=True)) < len(pack(record)) / 4


def test_kept_texts_are_compressed_in_memory_too() -> None:
    plain, small = MemoryTextStore(1 << 20), MemoryTextStore(1 << 20, compress=True)
    for store in (plain, small):
        store.put({"a": "senior data engineer " * 50})
        assert store.get_many(["a", "b"]) == ["senior data engineer " * 50, None]
    assert small.usage().bytes < plain.usage().bytes / 2


def test_a_full_store_of_kept_texts_is_logged_once_and_loses_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    kept = KeptTexts(MemoryTextStore(600))
    for number in range(5):
        kept.note({f"j{number}": f"text {number}"})
        kept.flush()
    assert 1 <= sum(map(len, kept.pages(10))) < 5
    assert len(caplog.records) == 1


def test_equal_contents_of_two_candidates_are_kept_under_both_ids() -> None:
    kept = KeptTexts(MemoryTextStore(1 << 20))
    kept.note({"a": "chef", "b": "chef"})
    kept.note({"a": "chef"})
    kept.flush()
    assert sorted(entry for page in kept.pages(1) for entry in page) == [("a", "chef"), ("b", "chef")]
