"""The bench repeats the service's runs for every kind of bundle, and every gate on the service can fail."""

from __future__ import annotations

import dataclasses
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from load_tests import bench, flat_teacher, overhead, throughput, warm_lists
from load_tests.bare_onnx_baseline import BareLoop, Run, RunLog
from load_tests.flat_teacher import Turns
from load_tests.overhead import Overhead
from load_tests.payloads import upsert
from load_tests.recorded_service import record_runs
from load_tests.report import Figure, Summary
from load_tests.throughput import Round
from load_tests.traffic import Mix
from load_tests.warm_lists import Lists, WarmTraffic
from models.bundle.files import Bundle
from models.loading import open_encoder, open_scorer
from models.runtime.session import Session
from models.text import Pair
from tests.support.bundles import write_tiny_bundle
from tests.support.split_bundles import GRAPHS, write_split_bundle

SHORT = "--rounds 1 --seconds 2 --warm-seconds 0 --teacher-seconds 0.3 --teacher-warm-seconds 0 --clients 2"
FEW = "--singles 3 --sizes 2 --fixed 8 --size 4 --by-id"


@pytest.fixture
def session_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores what `record_runs` replaces."""
    for name in ("open", "run_all"):
        monkeypatch.setattr(Session, name, Session.__dict__[name])


def recorded(bundle: Bundle, log: Path, *, members: int, candidates: int) -> list[Run]:
    """The runs of a scorer that scores `candidates` for each of `members`."""
    with log.open("w", buffering=1) as file:
        record_runs(file, 0.0)
        scorer, encoder = open_scorer(bundle, "cpu"), open_encoder(bundle)
        sides = [encoder.member(f"data engineer {'python ' * number}") for number in range(members)]
        others = encoder.candidates(["senior data engineer"] * candidates)
        scorer.score([Pair(member, candidate) for member in sides for candidate in others])
    return RunLog(log).runs(0, float("inf"))


@pytest.mark.usefixtures("session_as_it_was")
def test_the_bare_loop_repeats_the_runs_of_a_split_model_and_counts_the_pairs_of_its_score_graph(
    tmp_path: Path,
) -> None:
    bundle = write_split_bundle(tmp_path / "split")
    runs = recorded(bundle, tmp_path / "log", members=2, candidates=3)
    bare = BareLoop(bundle, RunLog(tmp_path / "log").threads())
    assert [bare.num_pairs(run) for run in runs] == [0, 0, 6]
    assert [run.shapes["input_ids"][0] for run in runs[:2]] == [2, 6]
    assert bare.pairs_per_s(runs * 2) > 0


@pytest.mark.usefixtures("session_as_it_was")
def test_the_bare_loop_counts_the_rows_of_a_pair_graph(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "flat")
    runs = recorded(bundle, tmp_path / "log", members=2, candidates=3)
    bare = BareLoop(bundle, 1)
    assert [bare.num_pairs(run) for run in runs] == [6]
    assert bare.pairs_per_s(runs * 2) > 0


@pytest.mark.usefixtures("session_as_it_was")
def test_two_parts_of_a_bundle_may_share_a_file(tmp_path: Path) -> None:
    bundle = write_split_bundle(tmp_path / "split")
    runs = recorded(bundle, tmp_path / "log", members=1, candidates=2)
    member, candidate, score = GRAPHS
    shared = bundle.manifest.model_copy(
        update={"graphs": (member, candidate.model_copy(update={"file": member.file}), score)}
    )
    bare = BareLoop(dataclasses.replace(bundle, manifest=shared), 1)
    as_candidate = dataclasses.replace(runs[1], graph=runs[0].graph)
    assert bare.num_pairs(as_candidate) == 0
    assert bare.pairs_per_s([runs[0], as_candidate, runs[2]]) > 0


@pytest.mark.usefixtures("session_as_it_was")
def test_runs_of_many_shapes_take_no_more_memory_than_the_largest(tmp_path: Path) -> None:
    bundle = write_split_bundle(tmp_path / "split")
    [member, *_] = recorded(bundle, tmp_path / "log", members=1, candidates=1)
    sizes = [(1, 4), (3, 16), (2, 7)]
    runs = [dataclasses.replace(member, shapes=dict.fromkeys(member.shapes, size)) for size in sizes]
    made = BareLoop(bundle, 1).feeds(runs)
    arrays = [one["input_ids"] for one in made.values()]
    assert [array.shape for array in arrays] == sizes
    assert all(np.shares_memory(array, arrays[1]) for array in arrays)


def summary(ms: float) -> Summary:
    latencies = {"p50": ms, "p99": ms}
    return Summary(10, 5, {"200": 5}, latencies, {"p99": 0.1}, 0.5, 100.0)


def gates(scale: float) -> list[Figure]:
    """All gates of a service that takes `scale` times the target latencies."""
    lists = Lists(summary(40 * scale), 20.0, summary(90 * scale))
    return [
        *throughput.figures([Round(95 / scale, 100, 1.0, 1.0, 10)]),
        *overhead.figures(Overhead((1.4 * scale,), (1.4 * scale,), {"parse": (0.2,)})),
        *warm_lists.figures(lists, 250),
        *flat_teacher.figures([Turns(2020 / scale, 10.0), Turns(1600 / scale, 10.0), Turns(2100 / scale, 10.0)]),
    ]


def failed(rows: list[dict[str, object]]) -> set[str]:
    return {str(row["figure"]) for row in rows if not row["ok"]}


def gated(rows: list[dict[str, object]]) -> set[str]:
    """Figures with a target for the service; the generator's slip is not the service's fault."""
    return {str(row["figure"]) for row in rows if row["target"] != "-" and "generator" not in str(row["figure"])}


def test_figures_at_their_target_pass_and_at_twice_the_latency_fail() -> None:
    good, bad = ([figure.row() for figure in gates(scale)] for scale in (1.0, 2.0))
    assert failed(good) == set()
    assert failed(bad) == gated(good)
    assert len(gated(good)) == 7


def test_warm_lists_have_new_members_and_only_warmed_candidates() -> None:
    traffic = WarmTraffic(30, Mix(seed=1, sizes=(10,), size_weights=(1,)))
    shown = {each.text for batch in traffic.batches() for each in batch}
    sent = [json.loads(one.body) for part in range(3) for one in islice(traffic.calls(part), 2)]
    assert len(shown) == 30
    assert all(len({each["text"] for each in one["candidates"]} & shown) == 10 for one in sent)
    assert len({one["member"]["text"] for one in sent}) == 6


def test_lists_by_id_hold_ids_of_stored_candidates() -> None:
    traffic = WarmTraffic(30, Mix(sizes=(10,), size_weights=(1,)), by_id=True)
    given = {each["id"] for batch in traffic.batches() for each in json.loads(upsert(batch)[1])["candidates"]}
    sent = json.loads(next(traffic.calls(0)).body)
    assert all(each.keys() == {"id"} and each["id"] in given for each in sent["candidates"])
    assert sent["member"]["text"]


@pytest.mark.slow
@pytest.mark.process
def test_every_gate_fails_for_a_delayed_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, teacher = write_split_bundle(tmp_path / "split"), write_tiny_bundle(tmp_path / "teacher")
    command = f"--bundle {bundle.path} --flat-teacher {teacher.path} {SHORT} {FEW} --sabotage-ms 120"
    assert bench.main(command.split()) == 1
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert gated(rows) <= failed(rows)
    assert len(gated(rows)) == 7
