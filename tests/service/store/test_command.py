"""`python -m service.store keep` drops the slots of other models and keeps those of the named bundles."""

from pathlib import Path

import numpy as np
import pytest

from models.bundle.files import Bundle
from models.slots.codec import content_key, model_key
from service.settings import StoreSettings
from service.store.__main__ import keys_of, main
from service.store.factory import Store, open_store
from tests.support.bundles import write_tiny_bundle
from tests.support.split_bundles import write_split_bundle

SLOTS = np.ones((2, 8), dtype=np.float16)


def opened(folder: Path) -> Store:
    return open_store(StoreSettings.model_validate({"store": f"lmdb:{folder}", "store_bytes": 1 << 20}))


def test_slots_of_other_models_are_dropped_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (live,) = keys_of(write_split_bundle(tmp_path / "split-v1"))
    old = model_key(b"old")
    store = opened(tmp_path / "store")
    store.texts.put({"j-1": "nurse"})
    store.slots.put_many({content_key(model, text): SLOTS for model in (live, old) for text in ("nurse", "chef")})
    store.close()
    monkeypatch.setenv("FITSCORE_STORE", f"lmdb:{tmp_path / 'store'}")
    assert main(["keep", str(tmp_path / "split-v1")]) == 0
    assert capsys.readouterr().out == "dropped the slots of 2 candidates\n"
    store = opened(tmp_path / "store")
    found = store.slots.get_many([content_key(live, "nurse"), content_key(old, "nurse")])
    assert [slots is not None for slots in found] == [True, False]
    assert store.texts.get_many(["j-1"]) == ["nurse"]
    store.close()


def test_a_bundle_without_slots_drops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(tmp_path / "tiny-v1")
    store = opened(tmp_path / "store")
    key = content_key(model_key(b"old"), "nurse")
    store.slots.put_many({key: SLOTS})
    store.close()
    monkeypatch.setenv("FITSCORE_STORE", f"lmdb:{tmp_path / 'store'}")
    assert main(["keep", str(tmp_path / "tiny-v1")]) == 1
    assert "keeps no slots" in capsys.readouterr().err
    store = opened(tmp_path / "store")
    assert store.slots.get_many([key])[0] is not None
    store.close()


def test_another_model_of_the_same_name_has_another_key(tmp_path: Path) -> None:
    write_split_bundle(tmp_path / "one")
    write_split_bundle(tmp_path / "two", seed=1)
    assert keys_of(Bundle.load(tmp_path / "one")) != keys_of(Bundle.load(tmp_path / "two"))
