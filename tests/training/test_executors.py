"""Executors: the same bytes wherever work runs, and a node that dies loses neither a shard nor a candidate."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from models.bulk import executors
from models.bulk.executors import (
    LOCAL,
    Executor,
    ExecutorError,
    Item,
    Key,
    LocalExecutor,
    RayExecutor,
    Result,
    import_ray,
)
from models.bundle.files import Bundle
from models.heads import Calibration
from models.loading import graph_key, graphs_for
from models.slots.codec import Slots, content_key
from models.slots.lmdb_file import IN_STORE, MAX_BYTES, SlotFile
from models.text import TextEncoder
from tests.support.split_bundles import write_split_bundle
from training.__main__ import main
from training.distillation.teachers import Teacher
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.steps import annotate as annotating
from training.steps import bulk_encode as encoding
from training.steps.annotate import Labeller, label_pairs, open_store
from training.steps.bulk_encode import bulk_encode

WORDS = "baker welder nurse oven steel ward".split()
TEXTS = [f"{WORDS[number % 6]} {WORDS[number // 6]} {number}" for number in range(36)]
PAIRS = pl.DataFrame(
    {
        "list_id": [str(number // 6) for number in range(36)],
        "source": ["market"] * 36,
        "split": ["train"] * 36,
        "member": [WORDS[number // 6] for number in range(36)],
        "candidate": TEXTS,
        "fit": [number % 3 / 2 for number in range(36)],
    }
)


class CutOff(Exception):
    pass


class CutsOff(LocalExecutor):
    """Stops after a number of results, as a kill does."""

    def __init__(self, results: int) -> None:
        self.left = results

    def map(
        self, open_worker: Callable[[], Callable[[Item], Result]], work: Iterable[tuple[Key, Item]]
    ) -> Iterator[tuple[Key, Result]]:
        for each in super().map(open_worker, work):
            if not self.left:
                raise CutOff
            self.left -= 1
            yield each


@pytest.fixture
def teacher(backbone: str) -> CrossEncoder:
    return new_cross_encoder(backbone, 1)


@pytest.fixture
def label(
    teacher: CrossEncoder, encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Executor], Path]:
    """Labels PAIRS in six files, into a folder of this name."""
    monkeypatch.setattr(annotating, "SHARD_PAIRS", 6)

    def work(name: str, executor: Executor) -> Path:
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        taught = Teacher(["fit"], teacher, {"fit": Calibration(slope=0.5)})
        store = open_store(taught, out)
        label_pairs(PAIRS, Labeller(taught, encoder, torch.get_num_threads()), store, executor)
        return store.folder

    return work


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_run_that_was_cut_off_labels_only_what_is_missing(label: Callable[[str, Executor], Path]) -> None:
    whole = label("whole", LOCAL)
    with pytest.raises(CutOff):
        label("cut", CutsOff(2))
    begun = contents(whole.parent.parent / "cut" / whole.name)
    assert len(begun) == 2 + len(["teacher.json"])
    assert begun.items() <= contents(whole).items()
    assert contents(label("cut", CutsOff(4))) == contents(whole)


def test_without_ray_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["annotate", "demo", "--engine", "ray", "--data", str(tmp_path), "--runs", str(tmp_path)]) == 1
    assert "pip install 'fitscore[ray]'" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1", "127.0.0.1:head"])
def test_an_address_without_a_cluster_is_refused_at_once(address: str) -> None:
    with pytest.raises(ExecutorError, match=f"no Ray cluster answers at {address}"):
        list(RayExecutor(address).map(lambda: str, [(1, "word")]))


@pytest.fixture(scope="module")
def patient_ray() -> Iterator[None]:
    """Ray on 127.0.0.1, with minutes for its own processes instead of 30 and 10 seconds: the machine may be busy."""
    if importlib.util.find_spec("ray") is None:  # not importorskip: import_ray decides what a first import finds
        pytest.skip("Ray is not installed")
    import_ray("127.0.0.1:")
    from ray._private import services

    get_node = services.get_node

    def get_node_in_time(*arguments: str) -> object:
        end = time.monotonic() + 300
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > end:
                    raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "get_node", get_node_in_time)
        patch.setenv("RAY_health_check_timeout_ms", "120000")
        yield


def agent_ports() -> dict[str, int]:
    """Ports for a node's agents. Without them a raylet waits for the agents to choose, and dies if that takes long."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}


@pytest.fixture(scope="module")
def cluster(patient_ray: None) -> Iterator[Any]:
    """A Ray cluster whose head has one CPU."""
    from ray.cluster_utils import Cluster

    # pytest's own folders are too deep for the name of a Unix socket.
    folder = tempfile.mkdtemp(prefix="ray-")
    with pytest.MonkeyPatch.context() as patch:
        # It leaves its address in a folder of its own name there, which it does not make.
        patch.setenv("RAY_TMPDIR", folder)
        Path(folder, "ray").mkdir()
        cluster = Cluster(True, head_node_args={"include_dashboard": False, "temp_dir": folder, **agent_ports()})
        yield cluster
        cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def dying(cluster: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Each call adds a node of one CPU, and gives an executor that loses it under work."""
    from tests.support.dying_node import LosingANode

    added: list[Any] = []

    def add(**options: int) -> LosingANode:
        notes = tmp_path / f"notes-{len(added)}"
        notes.mkdir()
        added.append(cluster.add_node(**agent_ports()))
        return LosingANode(RayExecutor(cluster.address), cluster, added[-1], notes, **options)

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


@pytest.mark.cluster
def test_on_ray_the_files_are_the_same_though_a_node_died(
    label: Callable[[str, Executor], Path], dying: Callable[..., Any]
) -> None:
    whole = label("whole", LOCAL)
    with pytest.raises(CutOff):
        label("ray", CutsOff(1))
    last = max(path.name for path in whole.glob("labels-*.parquet"))
    (whole.parent.parent / "ray" / whole.name / f"{last}.partial").write_bytes(b"half a fi")
    executor = dying()
    assert contents(label("ray", executor)) == contents(whole)
    # One of five was cut off in the middle, and begun again elsewhere: without that nothing would be proved here.
    assert executor.begun == 6


def entries(store: Path, bundle: Path) -> dict[str, Slots]:
    """The slots that a store has of TEXTS; fails if it has others."""
    loaded = Bundle.load(bundle)
    model = graph_key(loaded, graphs_for(loaded, "cpu")["candidate"])
    file = SlotFile(store / IN_STORE, MAX_BYTES)
    found = zip(TEXTS, file.get_many([content_key(model, text) for text in TEXTS]), strict=True)
    kept = {text: slots for text, slots in found if slots is not None}
    assert file.usage().entries == len(kept)
    file.close()
    return kept


@pytest.mark.cluster
def test_on_ray_each_candidate_is_encoded_once_though_nodes_died(
    dying: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "ROWS", 12)
    monkeypatch.setattr(encoding, "BATCH", 4)
    table, bundle = tmp_path / "candidates.parquet", tmp_path / "split-v1"
    pl.DataFrame({"id": TEXTS * 2, "text": TEXTS * 2}).write_parquet(table)
    write_split_bundle(bundle)
    bulk_encode(table, bundle, tmp_path / "local", threads=1)

    with monkeypatch.context() as patch:
        patch.setattr(executors, "RETRIES", 0)
        with pytest.raises(ExecutorError, match="lost a task"):
            bulk_encode(table, bundle, tmp_path / "ray", threads=1, executor=dying(others=1))
    kept = entries(tmp_path / "ray", bundle)
    assert len(kept) == 4

    executor = dying()
    done = bulk_encode(table, bundle, tmp_path / "ray", threads=1, executor=executor)
    assert (done.rows, done.encoded) == (72, 36 - len(kept))
    assert executor.begun == done.encoded // 4 + 1
    whole, shared = entries(tmp_path / "local", bundle), entries(tmp_path / "ray", bundle)
    assert list(shared) == list(whole) == TEXTS
    assert all(np.array_equal(shared[text], whole[text]) for text in TEXTS)


@pytest.mark.cluster
def test_work_raises_the_same_error_on_ray_as_here(cluster: Any) -> None:
    from tests.support.dying_node import where_it_runs

    with pytest.raises(LookupError, match="an item without a word"):
        list(RayExecutor(cluster.address).map(where_it_runs, [(1, "")]))


@pytest.mark.cluster
def test_a_worker_that_fits_on_no_node_is_refused(cluster: Any) -> None:
    from tests.support.dying_node import where_it_runs

    with pytest.raises(ExecutorError, match="no node of the Ray cluster has 99 CPUs"):
        list(RayExecutor(cluster.address, threads=99).map(where_it_runs, [(1, "word")]))


@pytest.mark.cluster
def test_when_the_last_node_that_could_do_it_died_the_run_ends(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.dying_node import gated, remove_once_begun, where_it_runs

    monkeypatch.setattr(executors, "LOOK_S", 0.5)
    victim = cluster.add_node(num_cpus=2, **agent_ports())
    waits = partial(gated, where_it_runs, victim.node_id, tmp_path, 0)
    with ThreadPoolExecutor(1) as pool:
        removed = pool.submit(remove_once_begun, cluster, victim, tmp_path)
        with pytest.raises(ExecutorError, match="no node of the Ray cluster has 2 CPUs"):
            list(RayExecutor(cluster.address, threads=2).map(waits, [(1, "word")]))
        removed.result()


@pytest.mark.cluster
def test_without_an_address_ray_runs_on_this_machine_alone(patient_ray: None) -> None:
    from tests.support.dying_node import where_it_runs

    try:
        found = list(RayExecutor().map(where_it_runs, [(1, "word")]))
    except ExecutorError as error:
        pytest.skip(f"this machine is too busy: {error}")
    assert found == [(1, "word 127.0.0.1")]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
