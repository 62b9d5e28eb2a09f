"""Checks of a product's data: a clean shop passes; each planted fault is found, with its number, and errors stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.product_files import PAIR_HEADER, Rows, log_alone, make_shop, shop, write_table
from training.__main__ import main
from training.dag import load_step
from training.data.impressions import read_impressions
from training.data.lists import read_lists
from training.product.check.findings import CheckReport
from training.product.check.leaks import auc
from training.product.check.near_duplicates import near_duplicates, phrases, similarity
from training.product.check.run import CheckFailed, check_product, refuse_errors
from training.product.new import Order, new_product
from training.product.run import product_run
from training.step_runner import run_step

LIST_LENGTH = 6


def sentences(report: CheckReport, check: str, level: str = "") -> list[str]:
    return [each.sentence for each in report.findings if each.check == check and level in ("", each.level)]


def split_column(pairs: Rows) -> Rows:
    """Rows with a split of their own: members by thirds."""
    names = ("train", "train", "valid", "test")
    return [[*row, names[int(row[0][1:]) % 4]] for row in pairs]


def moving(log: Rows) -> Rows:
    """The log, and the same lists once more with each candidate one position further."""
    return [
        [f"{row[0]}-{turn}", *row[1:3], str((int(row[3]) + turn) % LIST_LENGTH + 1), row[4]]
        for turn in (0, 1)
        for row in log
    ]


WITH_SPLIT = (*PAIR_HEADER, "split")


def test_a_clean_shop_has_no_errors_and_no_warnings(tmp_path: Path) -> None:
    pairs, log, _ = shop(members=320)
    report = check_product(make_shop(tmp_path, split_column(pairs), moving(log), header=WITH_SPLIT))
    assert [f"{each.check}: {each.sentence}" for each in report.findings if each.level != "fact"] == []
    text = (tmp_path / "shop" / "check.html").read_text()
    assert "0 errors, 0 warnings" in text
    assert "<td>click" not in text
    assert "Actions by position" in text


def test_a_member_in_two_splits_is_an_error_and_stops(tmp_path: Path) -> None:
    pairs = split_column(shop()[0])
    pairs[0][-1] = "test"  # of a member in training
    folder = make_shop(tmp_path, pairs, header=WITH_SPLIT)
    assert sentences(check_product(folder), "splits", "error") == [
        "1 members are in several splits (q0): keep each in one"
    ]
    with pytest.raises(CheckFailed, match=r"check: 1 members are in several splits .*check\.html"):
        refuse_errors(folder)


def test_a_split_without_members_is_an_error(tmp_path: Path) -> None:
    pairs = [[*row, "train" if int(row[0][1:]) % 2 else "test"] for row in shop()[0]]
    report = check_product(make_shop(tmp_path, pairs, header=WITH_SPLIT))
    assert sentences(report, "sizes", "error")[0].startswith("no member is in valid, which is needed for calibration")


def test_few_held_out_members_are_a_warning_with_their_number(tmp_path: Path) -> None:
    report = check_product(make_shop(tmp_path, split_column(shop(members=40)[0]), header=WITH_SPLIT))
    assert "10 members in test have two different grades; 30 or more are wanted for every figure" in sentences(
        report, "sizes"
    )


def test_equal_texts_with_different_grades_are_named_by_row(tmp_path: Path) -> None:
    pairs, _, _ = shop()
    again = [*pairs[0]]
    again[0], again[2], again[-1] = "q-again", "p-again", str(4 - int(again[-1]))
    report = check_product(make_shop(tmp_path, [*pairs, again]))
    expected = f"1 pairs of equal texts have different grades (rows 0 and {len(pairs)}): keep one grade"
    assert (expected in sentences(report, "contradictions")) == (again[-1] != pairs[0][-1])


def test_rows_that_say_the_same_twice_are_counted(tmp_path: Path) -> None:
    pairs, _, _ = shop()
    again = [["q-again", pairs[0][1], "p-again", *pairs[0][3:]]]
    report = check_product(make_shop(tmp_path, [*pairs, *again]))
    assert sentences(report, "duplicates") == [
        f"1 pairs of equal texts are there twice, as row {len(pairs)}: they count twice"
    ]


def test_an_id_with_two_texts_is_a_warning(tmp_path: Path) -> None:
    pairs, _, _ = shop()
    pairs[1][1] = pairs[1][1] + " now"
    report = check_product(make_shop(tmp_path, pairs))
    assert any(each.startswith("1 member ids have several texts (q0)") for each in sentences(report, "contradictions"))


def test_a_text_of_training_that_nearly_returns_in_the_test_is_found(tmp_path: Path) -> None:
    pairs = split_column(shop()[0])
    long = "a long query about lamps that hang over the table in the room where we eat in the evening with friends"
    for row in pairs:
        if row[0] in ("q0", "q3"):
            row[1] = long + (" please" if row[0] == "q3" else "")
    report = check_product(make_shop(tmp_path, pairs, header=WITH_SPLIT))
    (found,) = sentences(report, "near-duplicates", "warning")
    assert found.startswith("1 of 30 member texts of the test nearly equal one in training (q3 is 95% q0)")


def test_a_column_that_gives_the_grade_away_is_an_error(tmp_path: Path) -> None:
    pairs, _, _ = shop()
    leaking = [[*row, "sent back" if row[5] == "0" else "kept"] for row in pairs]
    folder = make_shop(tmp_path, leaking, header=(*PAIR_HEADER, "candidate.outcome"))
    found = sentences(check_product(folder), "leaks", "error")
    assert any(each.startswith("column 'candidate.outcome' alone predicts the grade with AUC") for each in found)


def test_candidates_that_never_move_cannot_be_separated_from_their_position(tmp_path: Path) -> None:
    pairs, log, _ = shop()
    assert sentences(check_product(make_shop(tmp_path / "own", pairs, log)), "positions") != []
    assert sentences(check_product(make_shop(tmp_path / "moved", pairs, moving(log))), "positions") == []


def test_an_action_that_is_never_taken_in_a_split_is_an_error(tmp_path: Path) -> None:
    pairs, log, _ = shop()
    pairs = split_column(pairs)
    quiet = [[*row[:4], "" if int(row[1][1:]) % 4 == 3 else row[4]] for row in log]
    report = check_product(make_shop(tmp_path, pairs, quiet, header=WITH_SPLIT))
    assert sentences(report, "base rates", "error") == ["click is never taken in test: there is nothing to learn"]


def test_texts_over_the_window_and_in_unknown_letters_are_counted(tmp_path: Path) -> None:
    pairs, _, _ = shop()
    folder = make_shop(tmp_path, [[*row[:3], "\u7121\u7dda\u6ed1\u9f20 " * 3, *row[4:]] for row in pairs])
    settings = folder / "product.toml"
    settings.write_text(settings.read_text().replace("member_tokens = 16", "member_tokens = 4"))
    report = check_product(folder)
    assert sentences(report, "lengths")[:1] == [
        "100% of the member texts are longer than 4 tokens: raise text.member_tokens, or shorten"
    ]
    assert any(
        "of the candidate tokens are unknown to the start encoder" in each for each in sentences(report, "language")
    )


def test_the_command_prints_findings_and_fails_for_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = split_column(shop()[0])
    pairs[0][-1] = "test"
    folder = make_shop(tmp_path, pairs, header=WITH_SPLIT)
    assert main(["check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "error: splits: 1 members are in several splits (q0): keep each in one\n" in out
    assert "1 error, " in out
    assert main(["all", str(folder)]) == 1
    assert f"all {folder}: check: 1 members are in several splits" in capsys.readouterr().err


WORDS = st.lists(st.sampled_from("red blue lamp chair for the room of oak".split()), min_size=3, max_size=12).map(
    " ".join
)


@given(first=st.lists(WORDS, max_size=12), second=st.lists(WORDS, max_size=12))
def test_what_is_found_without_comparing_all_is_what_comparing_all_finds(first: list[str], second: list[str]) -> None:
    found = {place: share for place, _, share in near_duplicates(first, second, 0.9)}
    for place, text in enumerate(first):
        best = max((similarity(phrases(text), phrases(other)) for other in second), default=0.0)
        assert found.get(place, 0.0) == (best if best >= 0.9 else 0.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_the_area_under_the_curve_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    positive = [score for score, is_positive in rows if is_positive]
    negative = [score for score, is_positive in rows if not is_positive]
    found = auc(np.array([float(score) for score, _ in rows]), np.array([each for _, each in rows]))
    if not positive or not negative:
        assert found is None
        return
    order = [(one > other) + 0.5 * (one == other) for one in positive for other in negative]
    assert found == pytest.approx(sum(order) / len(order))


@pytest.mark.parametrize("members", [1, 2, 5, 15, 40])
@pytest.mark.parametrize("kind", ["pairs", "both", "log"])
def test_few_lists_either_fit_every_step_or_the_check_says_the_least(members: int, kind: str, tmp_path: Path) -> None:
    if kind == "log":
        header = ("list_id", "member", "candidate", "shown", "click")
        path = write_table(tmp_path / "log.csv", header, [row[:5] for row in log_alone(members)])
        folder = tmp_path / "shop"
        new_product(Order(folder, None, None, path, None, {}, 0.05, None), lambda _: 2000.0)
    else:
        pairs, log, _ = shop(members=members)
        log[0][4] = "click"  # a log without any action is refused before
        folder = make_shop(tmp_path, pairs, log if kind == "both" else None)
    errors = [each.sentence for each in check_product(folder).of("error")]
    assert not any("lists and training has" in each for each in errors)
    assert all("each split needs" in each or "there is no" in each or "nothing to learn" in each for each in errors)
    if not errors:
        run = product_run(folder)
        for name in ("policy", "data", "log"):
            run_step(load_step(name), run)
        recipe = run.recipe
        graded = read_lists(run.folder("data"), recipe.head_names.gains, "train")
        schedules = [recipe.start.schedule, recipe.student.phases.sides, recipe.student.phases.pairs]
        assert max(each.lists_per_step for each in schedules) <= len(graded)
        if recipe.engagement:
            logged = read_impressions(run.folder("log") / "impressions.parquet", recipe.engagement.actions, "train")
            phases = recipe.engagement.teacher.phases
            assert max(phases.sides.lists_per_step, phases.pairs.lists_per_step) <= len(logged)


def test_fewer_lists_than_a_step_takes_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    folder = make_shop(tmp_path, split_column(shop(members=16)[0]), header=WITH_SPLIT)
    settings = folder / "product.toml"
    assert "lists_per_step = 8\n" in settings.read_text()
    settings.write_text(settings.read_text().replace("lists_per_step = 8", "lists_per_step = 9"))
    assert sentences(check_product(folder), "sizes", "error") == [
        "a step takes 9 lists and training has 8 graded lists: set training.lists_per_step to 8, or add lists"
    ]
