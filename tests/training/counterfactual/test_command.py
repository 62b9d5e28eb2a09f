"""The words of the command line over a product's own log: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.bundle.manifest import TextSpec
from models.template import FieldFormat, Template
from tests.support.bundles import write_tiny_bundle
from tests.support.product_files import LOG_HEADER, make_shop, shop, write_table
from training.__main__ import main
from training.counterfactual.logged import field_list, propensities, read_logged, slots_of
from training.errors import UserError

TEMPLATE = Template(member=(FieldFormat(name="query"),), candidate=(FieldFormat(name="title"),))
TEXT = TextSpec(tokenizer="tokenizer.json", member_tokens=48, candidate_tokens=48, layout="texts", template=TEMPLATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pairs, log, _ = shop(members=60)
    made = make_shop(tmp_path, pairs, log)
    write_tiny_bundle(made / "bundle", name="shop", text=TEXT)
    return made


def with_columns(folder: Path, *names: str, values: dict[int, str] | None = None) -> None:
    """The log again with further columns: propensity 1/6, policy a or b by the place."""
    _, log, _ = shop(members=60)
    rows = []
    for number, row in enumerate(log):
        cells = {
            "feature.age": str(number),
            "propensity": (values or {}).get(number, "0.16666667"),
            "policy_id": "ab"[int(row[3]) % 2],
        }
        rows.append([*row, *(cells[name] for name in names)])
    write_table(folder.parent / "log.csv", (*LOG_HEADER, *names), rows)


def test_a_bundle_is_estimated_from_a_log_of_random_orders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "found.json"
    words = ["counterfactual", str(folder), "--split", "all", "--propensity", "uniform", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "60 lists; intervals are drawn over members" in said
    assert "click per shown candidate" in said
    assert "effective sample: " in said
    found = json.loads(out.read_text())
    assert [each["name"] for each in found["estimates"]] == ["IPS", "SNIPS", "DR", "without weights"]


def test_places_match_where_the_bundle_ranks_a_candidate_as_it_was_shown(folder: Path) -> None:
    logged = read_logged(folder, "click", "all", "")
    slots = slots_of(logged, folder / "bundle", propensities(logged, "uniform")[0], top=2)
    assert slots.shown.sum() == 2 * 60
    assert slots.chosen.reshape(60, 6).sum(axis=1).tolist() == [2.0] * 60
    assert 0 < slots.target.sum() < 2 * 60


def test_a_log_without_chance_is_refused_and_one_with_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["counterfactual", str(folder), "--split", "all"]
    assert main(words) == 1
    assert "row 0 of the log has no propensity" in capsys.readouterr().err
    with_columns(folder, "propensity")
    assert main(words) == 0
    for wrong in ("0", "1.5", "often", "-0.1"):
        with_columns(folder, "propensity", values={7: wrong})
        assert main(words) == 1
        assert "row 7 (line 9), column 'propensity'" in capsys.readouterr().err


def test_the_versions_of_interleaved_lists_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["interleaving", str(folder), "--split", "all"]
    assert main(words) == 1
    assert "must name two versions; it names none" in capsys.readouterr().err
    with_columns(folder, "policy_id")
    assert main(words) == 0
    assert "lists with a winner" in capsys.readouterr().out


def test_the_curve_of_places_is_printed_with_its_doubts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["positions", str(folder), "--split", "all"]) == 0
    assert "the log cannot tell a place from its candidates" in capsys.readouterr().out
    assert main(["positions", str(folder), "--split", "all", "--propensity", "uniform"]) == 0
    assert "by propensities" in capsys.readouterr().out


def test_a_bundle_gets_the_numbers_of_the_candidates(folder: Path) -> None:
    with_columns(folder, "feature.age")
    lists = read_logged(folder, "click", "all", "").lists
    assert field_list(lists[1]).features == {"age": [6, 7, 8, 9, 10, 11]}


def test_counts_of_arms_are_one_choice_each(folder: Path) -> None:
    rows = [
        ["t1", "q0", "b0", "100", "9"],
        ["t1", "q0", "g0", "90", "1"],
        ["t2", "q1", "b1", "50", "2"],
        ["t2", "q1", "g1", "0", "0"],
    ]
    write_table(folder.parent / "log.csv", ("list_id", "member_id", "candidate_id", "shown", "click"), rows)
    logged = read_logged(folder, "click", "all", "")
    slots = slots_of(logged, folder / "bundle", propensities(logged, "uniform")[0], None)
    assert slots.decided.tolist() == [190, 50]
    assert slots.target.reshape(2, 2).sum(axis=1).tolist() == [1, 1]
    assert slots.chosen.sum() == 240


def test_sizes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples", "--rate", "0.05", "--lift", "0.2", "--effective", "0.25", "--preference", "0.6"]) == 0
    said = capsys.readouterr().out
    assert "A/B test: 8,15" in said
    assert "interleaving: 393 lists" in said


def test_an_unknown_action_and_a_product_without_a_log_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'buy' is no action of the log; there are: click"):
        read_logged(folder, "buy", "all", "")
    alone = make_shop(tmp_path / "alone", shop(members=20)[0])
    with pytest.raises(UserError, match="has no log"):
        read_logged(alone, "", "all", "")
