"""The autoscaler's formula against numbers that were worked out by hand, and the loop's own arithmetic."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml

from load_tests.autoscaling.curve import (
    Arrival,
    Phase,
    Tick,
    arrivals,
    by_time,
    goodput,
    recovery_s,
    replica_seconds,
    turns,
)
from load_tests.autoscaling.fleet import Fleet, Kind
from load_tests.autoscaling.hpa import Autoscaler, Behaviour, recommended
from load_tests.autoscaling.run import Arm as OneArm
from load_tests.autoscaling.run import gates, metrics, parse, summarised

QUICK = Behaviour(up_period_s=30, down_period_s=60, down_window_s=120)


@pytest.mark.parametrize(
    ("values", "starting", "target", "replicas"),
    [
        ([0.2], 0, 0.1, 2),
        ([0.1], 0, 0.1, 1),
        ([0.3], 0, 0.1, 3),  # not 4: 0.3 / 0.1 is 2.9999999999999996
        ([0.109, 0.109], 0, 0.1, 2),  # within the tolerance
        ([0.12, 0.12], 0, 0.1, 3),
        ([0.0, 0.0, 0.0], 0, 0.1, 0),
        ([0.05, 0.05], 0, 0.1, 1),
        ([1.0], 1, 0.1, 10),  # 1.0 over two replicas is 0.5, five times the target
        ([0.15], 1, 0.1, 2),  # the one that starts is enough
        ([0.05], 1, 0.1, 1),
        ([], 2, 0.1, 2),
    ],
)
def test_the_formula_gives_the_documented_number(
    values: list[float], starting: int, target: float, replicas: int
) -> None:
    assert recommended(values, starting, target) == replicas


def test_scaling_up_at_most_doubles_within_a_period() -> None:
    scaler = Autoscaler(QUICK, target=0.1)
    assert scaler.decide(0, [5.0], 0) == 2
    assert scaler.decide(15, [5.0, 5.0], 0) == 2  # doubled 15 seconds ago
    assert scaler.decide(31, [5.0, 5.0], 0) == 4
    assert scaler.decide(90, [5.0] * 4, 0) == 4  # the most


def test_scaling_down_waits_for_its_window_and_goes_one_by_one() -> None:
    scaler = Autoscaler(QUICK, target=0.1)
    assert scaler.decide(0, [0.1] * 4, 0) == 4
    assert scaler.decide(60, [0.0] * 4, 0) == 4  # a minute ago four were wanted
    assert scaler.decide(121, [0.0] * 4, 0) == 3
    assert scaler.decide(150, [0.0] * 3, 0) == 3  # one each minute
    assert scaler.decide(182, [0.0] * 3, 0) == 2
    assert scaler.decide(400, [0.0], 0) == 1  # the least


def test_a_short_gap_in_the_load_does_not_flap() -> None:
    scaler = Autoscaler(QUICK, target=0.1)
    numbers = [scaler.decide(at, [0.0 if at % 45 == 0 else 0.1] * 2, 0) for at in range(0, 300, 15)]
    assert set(numbers) == {2}


def test_times_are_shortened_and_numbers_kept() -> None:
    short = Behaviour().faster(10)
    assert (short.up_period_s, short.down_window_s, short.up_percent, short.most) == (3, 30, 100, 4)


def test_the_behaviour_is_the_charts() -> None:
    root = Path(__file__).parents[2] / "deploy" / "helm" / "fitscore"
    chart = yaml.safe_load((root / "values.yaml").read_text(encoding="utf-8"))["autoscaling"]
    text = (root / "templates" / "autoscaling.yaml").read_text(encoding="utf-8")
    usual = Behaviour()
    assert chart["scaleDownSeconds"] == usual.down_window_s
    assert f"value: {usual.up_percent:.0f}, periodSeconds: {usual.up_period_s:.0f}}}" in text
    assert f"value: {usual.down_pods}, periodSeconds: {usual.down_period_s:.0f}}}" in text


def test_arrivals_follow_the_curve() -> None:
    due = arrivals([Phase(50, 0.5), Phase(50, 3.0), Phase(50, 1.0)], capacity=20, seed=1)
    counts = [sum(begin <= at < begin + 50 for at in due) for begin in (0, 50, 100)]
    assert counts == pytest.approx([500, 3000, 1000], rel=0.1)
    assert due == sorted(due)


def test_goodput_is_the_share_of_what_was_due() -> None:
    found = [Arrival(1, True), Arrival(2, False), Arrival(6, True)]
    assert goodput(found, 0, 5) == 0.5
    assert by_time(found, 10, 5) == [0.5, 1.0]
    assert math.isnan(goodput(found, 7, 9))


@pytest.mark.parametrize(
    ("shares", "seconds"),
    [
        ([1.0, 1.0, 1.0, 1.0, 0.2], 0.0),  # the step is from 5 to 20 seconds
        ([1.0, 0.4, 1.0, 1.0, 1.0], 5.0),
        ([1.0, 0.4, 1.0, 0.9, 1.0], math.inf),
        ([1.0, 0.4, 0.5, 1.0, 1.0], 10.0),
        ([1.0, 0.4, math.nan, 1.0, 1.0], 10.0),
    ],
)
def test_a_run_has_recovered_once_goodput_stays_high(shares: list[float], seconds: float) -> None:
    assert recovery_s(shares, width=5, step_at=5, step_end=20, enough=0.95) == seconds


def ticks(*replicas: int) -> list[Tick]:
    return [Tick(3.0 * place, number, 0, 0.1) for place, number in enumerate(replicas)]


def test_up_and_down_is_one_turn() -> None:
    assert turns(ticks(1, 2, 4, 4, 3, 2)) == 1
    assert turns(ticks(1, 2, 1, 2)) == 2
    assert turns(ticks(1, 1)) == 0
    assert replica_seconds(ticks(1, 2, 4)) == 9.0


def test_the_gates_refuse_a_loop_that_is_no_better_than_its_control() -> None:
    phases = [Phase(10, 0.5), Phase(20, 3.0), Phase(10, 0.5)]
    backlog, cpu = metrics(parse([]))
    good = [Arrival(at / 10, True) for at in range(400)]
    bad = [Arrival(at / 10, at < 100) for at in range(400)]
    rows = [
        summarised(OneArm(metric, found, ticks(1, 4, 1)), phases) for metric, found in ((backlog, good), (cpu, bad))
    ]
    assert [each.ok for each in gates(rows)] == [True, True, True]
    assert [each.ok for each in gates(rows[::-1])] == [False, False, True]
    assert [each.ok for each in gates([rows[0], rows[0]])] == [True, False, True]


def test_prometheus_gets_the_replicas_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Made:
        port = 0

    def start(fleet: Fleet) -> object:
        Made.port += 1
        made = Made()
        made.__dict__.update(instance=f"127.0.0.1:{Made.port}", ready=False, open=0)
        return made

    monkeypatch.setattr(Fleet, "_start", start)
    monkeypatch.setattr(Fleet, "_spawn", lambda fleet, change: change.close())
    fleet = Fleet(Kind(tmp_path, "delay", 0.25, 5.0, {}), tmp_path / "targets.json")
    for wanted, names in ((3, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]), (1, ["127.0.0.1:1"])):
        fleet.resize(wanted)
        assert json.loads((tmp_path / "targets.json").read_text(encoding="utf-8"))[0]["targets"] == names
