"""Bulk encoding: the store gets the service's own entries, each once, also after a run that was killed."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.bundle.files import Bundle
from models.errors import BundleError
from models.loading import graph_key, graphs_for, open_encoder, open_scorer
from models.scorers.split import SplitScorer
from models.slots.codec import chunk_keys, content_key
from models.slots.lmdb_file import IN_STORE, MAX_BYTES, SlotFile
from tests.support.bundles import write_tiny_bundle
from tests.support.split_bundles import write_split_bundle
from training.data.tables import DataError
from training.steps import bulk_encode as module
from training.steps.bulk_encode import Shard, bulk_encode

WORDS = "data engineer python spark chef pastry bake nurse ward senior".split()
TEXTS = [f"{WORDS[number % 10]} {WORDS[number // 10 % 10]} {number}" for number in range(40)]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "split-v1"
    write_split_bundle(path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "candidates.parquet"
    pl.DataFrame({"id": [str(number) for number in range(40)], "text": TEXTS}).write_parquet(path)
    return path


def kept(store: Path, bundle: Path, texts: list[str]) -> int:
    """How many of the texts have slots in the store; fails for slots that are not the model's."""
    loaded = Bundle.load(bundle)
    scorer, encoder = open_scorer(loaded, "cpu"), open_encoder(loaded)
    assert isinstance(scorer, SplitScorer)
    model = graph_key(loaded, graphs_for(loaded, "cpu")["candidate"])
    file = SlotFile(store / IN_STORE, MAX_BYTES)
    found = file.get_many([content_key(model, text) for text in texts])
    file.close()
    expected = scorer.encode_candidates(encoder.candidates(texts))
    for slots, each in zip(found, expected, strict=True):
        if slots is not None:
            np.testing.assert_allclose(slots, each, atol=1e-3)
    return sum(slots is not None for slots in found)


def test_each_candidate_is_stored_as_the_service_stores_it(table: Path, bundle: Path, tmp_path: Path) -> None:
    done = bulk_encode(table, bundle, tmp_path / "store", threads=1)
    assert (done.rows, done.encoded, done.empty) == (40, 40, 0)
    assert kept(tmp_path / "store", bundle, TEXTS) == 40


def test_each_chunk_of_a_long_candidate_is_stored_as_the_service_stores_it(table: Path, tmp_path: Path) -> None:
    plain = write_split_bundle(tmp_path / "plain").manifest.text
    bundle = tmp_path / "chunks-v1"
    loaded = write_split_bundle(bundle, text=plain.model_copy(update={"chunks": 4}))
    long = " ".join(f"{one} {other}" for one in WORDS for other in WORDS[:3])
    scorer, encoder = open_scorer(loaded, "cpu"), open_encoder(loaded)
    ids = encoder.read_candidates([long])[0].chunks
    model = graph_key(loaded, graphs_for(loaded, "cpu")["candidate"])
    keys = chunk_keys(content_key(model, long), 4)
    pl.DataFrame({"id": ["a", "b"], "text": [long, "chef"]}).write_parquet(table)
    assert isinstance(scorer, SplitScorer)
    assert len(ids) == 4
    file = SlotFile(tmp_path / "store" / IN_STORE, MAX_BYTES)
    file.put_many({keys[0]: scorer.encode_candidates(ids[:1])[0]})  # a text with some of its chunks is not done
    file.close()
    assert bulk_encode(table, bundle, tmp_path / "store", threads=1).encoded == 2
    file = SlotFile(tmp_path / "store" / IN_STORE, MAX_BYTES)
    stored, usage = file.get_many(keys), file.usage()
    file.close()
    np.testing.assert_allclose(np.stack([each for each in stored if each is not None]), scorer.encode_candidates(ids))
    assert usage.entries == 4 + 1
    assert bulk_encode(table, bundle, tmp_path / "store", threads=1).encoded == 0


def test_fields_are_rendered_and_rows_without_a_text_are_counted(bundle: Path, tmp_path: Path) -> None:
    fields = [{"title": "pastry chef", "description": None}, {"title": "nurse", "description": "ward"}, None]
    pl.DataFrame({"id": ["a", "b", "c"], "fields": fields}).write_parquet(tmp_path / "fields.parquet")
    done = bulk_encode(tmp_path / "fields.parquet", bundle, tmp_path / "store", threads=1)
    assert (done.rows, done.encoded, done.empty) == (3, 2, 1)
    template = Bundle.load(bundle).manifest.text.template
    texts = [
        template.render_candidate(each)
        for each in ({"title": "pastry chef"}, {"title": "nurse", "description": "ward"})
    ]
    assert kept(tmp_path / "store", bundle, texts) == 2


def test_a_stored_candidate_is_not_encoded_again(table: Path, bundle: Path, tmp_path: Path) -> None:
    bulk_encode(table, bundle, tmp_path / "store", threads=1)
    assert bulk_encode(table, bundle, tmp_path / "store", threads=1).encoded == 0


def test_another_model_encodes_all_candidates_again(table: Path, bundle: Path, tmp_path: Path) -> None:
    bulk_encode(table, bundle, tmp_path / "store", threads=1)
    write_split_bundle(tmp_path / "split-v2", seed=1)
    assert bulk_encode(table, tmp_path / "split-v2", tmp_path / "store", threads=1).encoded == 40


def test_shards_share_the_work(table: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 8)
    done = [bulk_encode(table, bundle, tmp_path / "store", threads=1, shard=Shard(number, 2)) for number in range(2)]
    assert [each.encoded for each in done] == [24, 16]
    assert kept(tmp_path / "store", bundle, TEXTS) == 40


def _encode_and_die(table: Path, bundle: Path, store: Path) -> None:
    written = 0
    write = SlotFile.put_many

    def write_twice(file: SlotFile, entries: dict[bytes, np.ndarray]) -> None:
        nonlocal written
        if written == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, entries)
        written += 1

    SlotFile.put_many = write_twice  # type: ignore[method-assign,assignment]
    module.BATCH = 7
    bulk_encode(table, bundle, store, threads=1)


def test_a_run_that_was_killed_resumes(table: Path, bundle: Path, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_encode_and_die, args=(table, bundle, tmp_path / "store")
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert kept(tmp_path / "store", bundle, TEXTS) == 14
    assert bulk_encode(table, bundle, tmp_path / "store", threads=1).encoded == 26
    assert kept(tmp_path / "store", bundle, TEXTS) == 40


def test_a_cross_encoder_has_nothing_to_store(table: Path, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny-v1")
    with pytest.raises(BundleError, match="nothing to store"):
        bulk_encode(table, tmp_path / "tiny-v1", tmp_path / "store", threads=1)


def test_a_table_without_texts_is_refused(bundle: Path, tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a"]}).write_parquet(tmp_path / "ids.parquet")
    with pytest.raises(DataError, match="must have the columns"):
        bulk_encode(tmp_path / "ids.parquet", bundle, tmp_path / "store", threads=1)
