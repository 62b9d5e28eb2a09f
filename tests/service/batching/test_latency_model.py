import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching.latency_model import ENOUGH_S, LatencyTable, monotone
from service.batching.packing import BatchPolicy

LINEAR = LatencyTable((1, 10), (10, 100), ((0.001, 0.010), (0.010, 0.100)))
FLAT = LatencyTable((1, 10), (10, 100), ((0.005, 0.005), (0.005, 0.005)))

grids = st.lists(st.lists(st.floats(1e-6, 1.0), min_size=3, max_size=3), min_size=3, max_size=3)


def noisy_table(grid: list[list[float]]) -> LatencyTable:
    return LatencyTable((1, 4, 16), (8, 32, 128), monotone(tuple(map(tuple, grid))))


def test_seconds_are_bilinear_between_the_measured_points() -> None:
    assert LINEAR.seconds(1, 10) == 0.001
    assert LINEAR.seconds(10, 100) == pytest.approx(0.100)
    assert LINEAR.seconds(4, 40) == pytest.approx(0.016)


def test_seconds_grow_in_proportion_beyond_the_largest_point() -> None:
    assert FLAT.seconds(20, 300) == pytest.approx(0.005 * 2 * 3)


def test_a_run_without_pairs_costs_nothing() -> None:
    assert LINEAR.seconds(0, 50) == 0.0


@given(grids, st.integers(1, 40), st.integers(1, 300))
def test_more_or_longer_pairs_never_cost_less_even_with_a_noisy_table(
    grid: list[list[float]], pairs: int, longest: int
) -> None:
    table = noisy_table(grid)
    slack = 1 - 1e-12
    assert table.seconds(pairs + 1, longest) >= table.seconds(pairs, longest) * slack
    assert table.seconds(pairs, longest + 1) >= table.seconds(pairs, longest) * slack


@pytest.mark.parametrize(
    ("batch_sizes", "lengths", "grid"),
    [
        ((), (1,), ()),
        ((2, 1), (1,), ((1.0,), (1.0,))),
        ((1,), (1, 2), ((1.0,),)),
        ((1,), (1,), ((0.0,),)),
        ((1,), (1,), ((float("nan"),),)),
    ],
    ids=["empty", "not increasing", "ragged", "free", "not finite"],
)
def test_an_impossible_table_is_rejected(
    batch_sizes: tuple[int, ...], lengths: tuple[int, ...], grid: tuple[tuple[float, ...], ...]
) -> None:
    with pytest.raises(ValueError, match="must"):
        LatencyTable(batch_sizes, lengths, grid)


def test_measuring_takes_the_fastest_run_after_a_warm_up() -> None:
    now = 0.0
    runs: dict[tuple[int, int], int] = {}

    def run(pairs: int, longest: int) -> None:
        nonlocal now
        runs[pairs, longest] = runs.get((pairs, longest), 0) + 1
        now += 1e-5 * pairs * longest * (9.0 if runs[pairs, longest] == 1 else 1.0 + runs[pairs, longest])

    table = LatencyTable.measure(run, lambda: now, batch_sizes=(1, 2), lengths=(3, 5), repeats=2)
    np.testing.assert_allclose(table.grid, [[9e-5, 15e-5], [18e-5, 30e-5]])
    assert set(runs.values()) == {3}


def test_time_given_away_before_a_run_does_not_count() -> None:
    now, given = 0.0, 0

    def spend(seconds: float) -> None:
        nonlocal now
        now += seconds

    def give_way() -> None:
        nonlocal given
        given += 1
        spend(7.0)

    table = LatencyTable.measure(
        lambda pairs, longest: spend(1e-4), lambda: now, batch_sizes=(1,), lengths=(3,), repeats=2, before_run=give_way
    )
    np.testing.assert_allclose(table.grid, [[1e-4]], rtol=1e-6)
    assert given == 3  # one to warm up, and two


def test_only_one_long_run_is_timed() -> None:
    now = 0.0
    runs = 0

    def run(pairs: int, longest: int) -> None:
        nonlocal now, runs
        runs += 1
        now += 1.5 * ENOUGH_S

    LatencyTable.measure(run, lambda: now, batch_sizes=(1,), lengths=(3,), repeats=9)
    assert runs == 2


@pytest.mark.parametrize(("first_run", "runs"), [(1.0, 1), (1.5, 2)])
def test_a_long_run_that_warms_up_counts_only_if_it_is_as_fast_as_expected(first_run: float, runs: int) -> None:
    now, counted = 0.0, {1: 0, 4: 0}

    def run(pairs: int, longest: int) -> None:
        nonlocal now
        now += ENOUGH_S * pairs * (1.0 if counted[pairs] else first_run)
        counted[pairs] += 1

    table = LatencyTable.measure(run, lambda: now, batch_sizes=(1, 4), lengths=(3,), repeats=9)
    np.testing.assert_allclose(table.grid, [[ENOUGH_S], [4 * ENOUGH_S]])
    assert counted == {1: 2, 4: runs}  # nothing is expected of the smallest batch


def test_batches_that_would_never_be_cut_are_not_measured() -> None:
    now = 0.0
    largest = 0

    def run(pairs: int, longest: int) -> None:
        nonlocal now, largest
        now += pairs
        largest = max(largest, pairs)

    table = LatencyTable.measure(run, lambda: now, batch_sizes=(1, 2, 4, 8), lengths=(3,), limit_s=1.5)
    assert largest == 2
    assert table.grid == ((1.0,), (2.0,), (4.0,), (8.0,))


def test_max_items_keeps_both_caps_and_is_at_least_one() -> None:
    assert BatchPolicy(LINEAR, max_batch_tokens=100, max_batch_s=1.0).max_items(10) == 10
    assert BatchPolicy(LINEAR, max_batch_tokens=100_000, max_batch_s=0.0305).max_items(10) == 30
    assert BatchPolicy(LINEAR, max_batch_tokens=5, max_batch_s=1.0).max_items(10) == 1


@given(grids, st.integers(0, 500))
def test_a_length_is_split_into_even_parts_that_keep_the_caps(grid: list[list[float]], length: int) -> None:
    table = noisy_table(grid)
    parts = BatchPolicy(table, max_batch_tokens=100, max_batch_s=0.5).split_evenly(length)
    assert sum(parts) == length
    assert max(parts, default=0) - min(parts, default=0) <= 1
    assert all(part <= 100 and table.seconds(1, part) <= 0.5 for part in parts if part > 1)


def test_if_time_is_proportional_to_tokens_only_lengths_within_a_quarter_share_a_batch() -> None:
    assert BatchPolicy(LINEAR, max_batch_tokens=1000, max_batch_s=1.0).min_length(4, 100) == 80


def test_if_another_pair_is_free_any_length_may_join() -> None:
    policy = BatchPolicy(FLAT, max_batch_tokens=1000, max_batch_s=1.0)
    assert policy.min_length(4, 100) == 1
    assert policy.may_grow(4, 10, 100)


def test_a_longer_pair_joins_only_while_few_others_are_padded_for_it() -> None:
    policy = BatchPolicy(LINEAR, max_batch_tokens=10_000, max_batch_s=1.0)
    assert policy.may_grow(2, 50, 55)
    assert not policy.may_grow(20, 50, 55)


@given(grids, st.integers(1, 40), st.integers(1, 300))
def test_equal_lengths_always_share_a_batch_even_with_a_noisy_table(
    grid: list[list[float]], pairs: int, longest: int
) -> None:
    policy = BatchPolicy(noisy_table(grid), max_batch_tokens=4096, max_batch_s=2.0)
    assert policy.min_length(pairs, longest) <= longest
