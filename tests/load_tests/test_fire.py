"""Fire tests: a result counts only if its negative control fails; the table and the exit code show it."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from load_tests.fire import __main__ as fire
from load_tests.fire.hostile_clients import BODY, CANARY
from load_tests.fire.leaking import _KEPT, leak
from load_tests.fire.memory import Snapshot, growth_of
from load_tests.fire.overload import calls_of
from load_tests.fire.result import Result, Size, rows, sized
from load_tests.fire.swaps import _shifted, belongs, recalibrated, write_versions
from models.bundle.files import Bundle
from models.heads import calibrate
from service.http.schemas import ScoreRequest
from service.observability.metrics import Metrics
from tests.support.bundles import write_tiny_bundle
from tests.support.fakes import load_tiny


@pytest.fixture
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny-v1"
    write_tiny_bundle(path)
    return path


def result(*, met: bool = True, control_fails: bool = True) -> Result:
    return Result("answers", "0 failed", "0 failed", met, "kill -9: 7 failed", control_fails)


@pytest.mark.parametrize(("met", "control_fails", "code"), [(True, True, 0), (False, True, 1), (True, False, 1)])
def test_a_result_whose_control_does_not_fail_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], met: bool, control_fails: bool, code: int
) -> None:
    async def part(bundle: Path, size: Size) -> list[Result]:
        return [result(met=met, control_fails=control_fails)]

    monkeypatch.setattr(fire, "PARTS", {"shutdown": part})
    monkeypatch.setattr(fire, "pin_to_last_core", lambda: None)
    assert fire.main(["--tiny", "--only", "shutdown"]) == code
    *shown, line = capsys.readouterr().out.splitlines()
    assert shown == rows([result(met=met, control_fails=control_fails)]).splitlines()
    assert ("NO" in shown[-1]) == (code == 1)
    assert json.loads(line)["results"][0]["met"] is met


def test_sent_bodies_are_valid_requests() -> None:
    assert CANARY in ScoreRequest.model_validate_json(BODY).candidates[0].id
    one, other = islice(calls_of(0, 1.0, "sheddable"), 2)
    sheddable = ScoreRequest.model_validate_json(one.body)
    assert (len(sheddable.candidates), sheddable.deadline_ms, sheddable.priority) == (10, 1000, "sheddable")
    assert one.headers == (("X-Deadline-Ms", "1000"),)
    assert ScoreRequest.model_validate_json(other.body).member != sheddable.member  # no member's state is cached


def test_a_size_grows_with_its_minutes_up_to_the_documented_size() -> None:
    quarter, all_of_it = sized(15), sized(200)
    assert (quarter.swaps, quarter.slow, quarter.stops * quarter.in_flight) == (50, 300, 1000)
    assert (all_of_it.seconds, all_of_it.stops, all_of_it.bodies, all_of_it.requests) == (60, 20, 1_000_000, 1_000_000)


def test_growth_is_measured_over_the_second_half() -> None:
    def snapshots(leak_mb: float, warm_mb: float = 50.0) -> list[Snapshot]:
        return [Snapshot(1000 * n, (warm_mb if n < 10 else 0) + 100 + leak_mb * n, 20, 9) for n in range(1, 41)]

    assert growth_of(snapshots(0.0)).slope_mb == pytest.approx(0.0, abs=1e-6)
    assert growth_of(snapshots(0.02)).slope_mb == pytest.approx(2.0)
    more = growth_of([*snapshots(0.0)[:-1], Snapshot(40_000, 100.0, 25, 10)])
    assert (more.requests, more.files, more.threads) == (40_000, 5, 1)


def test_a_shifted_calibration_moves_scores_and_known_answers_equally(bundle: Path) -> None:
    manifest = Bundle.load(bundle).manifest
    moved = recalibrated(manifest, 0.7, "2")
    assert (moved.version, moved.graphs) == ("2", manifest.graphs)
    logits = np.array([[0.3] * len(manifest.heads)])
    before, after = calibrate(manifest.heads, logits), calibrate(moved.heads, logits)
    assert [_shifted(each, 0.7) for each in before[0]] == pytest.approx(after[0])


def test_each_version_loads(bundle: Path, tmp_path: Path) -> None:
    live = write_versions(bundle, tmp_path)
    assert live.name == "v1"
    assert [load_tiny(tmp_path / f"v{version}").version for version in "123"] == ["1", "2", "3"]


def test_scores_of_another_version_are_detected() -> None:
    body = b'{"model": {"version": "2"}, "scores": [{"score": 0.5}, {"score": null}]}'
    assert belongs(body, {"1": [0.9, 0.1], "2": [0.501, 0.1]}) is False  # an unscored candidate matches no version
    scored = body.replace(b"null", b"0.1")
    assert belongs(scored, {"1": [0.9, 0.1], "2": [0.501, 0.1]})
    assert not belongs(scored, {"1": [0.501, 0.1], "2": [0.9, 0.1]})


def test_the_planted_leak_leaks_and_keeps_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metrics, "answered", Metrics.answered)  # restored afterwards
    leak()
    metrics = Metrics()
    metrics.answered("/score", "ok", 0.1)
    assert len(_KEPT) == 1
    assert b'fitscore_requests_total{outcome="ok",route="/score"} 1.0' in metrics.render()
    _KEPT.clear()
