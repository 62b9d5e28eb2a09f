"""The page "your own product": its commands, as they are written, lead from three files to scores."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.product_files import LOG_HEADER, PAIR_HEADER, log_alone, shop, write_table
from tests.support.service_process import process
from training.nets.tiny_backbone import write_tiny_backbone

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-product.md").read_text(encoding="utf-8")
HOURS = "0.005"
"""In place of the page's hour: the least number of steps."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run(command: str, beside: Path) -> str:
    """What a command of the page prints, with files beside the repository in `beside`."""
    own = command.replace("../", f"{beside}/").replace(".venv/dev/bin/python", sys.executable)
    own = own.replace("--hours 1", f"--hours {HOURS}")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-euc", own], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_page_shows_rows_that_the_readers_take() -> None:
    pairs, log = blocks("csv")
    assert pairs.splitlines()[0] == ",".join(PAIR_HEADER)
    assert log.splitlines()[0] == ",".join(LOG_HEADER)


def test_every_command_of_the_page_is_run_by_the_test() -> None:
    assert [block.split()[:4][-1] for block in blocks("bash")[:4]] == ["new", "check", "all", "status"]
    assert blocks("bash")[4] == "BUNDLE=../shop/bundle make serve\n"
    assert "promote ../shop --to http://127.0.0.1:8000\n" in blocks("bash")[6]
    assert len(blocks("bash")) == 7


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(1500)
def test_the_commands_lead_from_three_files_to_scores(tmp_path: Path) -> None:
    pairs, log, products = shop(members=60)
    write_table(tmp_path / "pairs.csv", PAIR_HEADER, pairs)
    write_table(tmp_path / "log.csv", LOG_HEADER, log)
    write_table(tmp_path / "catalogue.csv", ("candidate_id", "candidate.title", "candidate.brand"), products[:200])
    new, check, train, status, _, curl, promote = blocks("bash")
    assert "assumed: " in run(new, tmp_path)
    assert "0 errors, " in run(check, tmp_path)
    run(train, tmp_path)
    assert set(run(status, tmp_path).splitlines()) == {
        f"{path.name}: done" for path in (tmp_path / "shop" / "runs" / "shop").iterdir() if path.name != "shared"
    }
    with process(bundle=str(tmp_path / "shop" / "bundle")) as (_, client):
        address = str(client.base_url).rstrip("/")
        answer = run(curl.replace("http://127.0.0.1:8000", address), tmp_path)
        assert "version 1 is live" in run(promote.replace("http://127.0.0.1:8000", address), tmp_path)
        assert (tmp_path / "shop" / "live" / "shop-v1" / "manifest.json").exists()
    scores = [float(each) for each in re.findall(r'"score":\s*([0-9.]+)', answer)]
    assert len(scores) == 2
    assert scores[0] > scores[1]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(1500)
def test_a_log_alone_becomes_a_served_student_of_actions(tmp_path: Path) -> None:
    rows = log_alone()
    write_table(tmp_path / "log.csv", ("list_id", "member", "candidate", "shown", "click", "time"), rows)
    write_tiny_backbone(tmp_path / "encoder", [f"{row[1]} {row[2]}" for row in rows], hidden=128)
    python = ".venv/dev/bin/python -m training"
    assert "held out, by `time`" in run(
        f"{python} new ../shop --log ../log.csv --encoder ../encoder --hours {HOURS}", tmp_path
    )
    run(f"{python} all ../shop", tmp_path)
    report = (tmp_path / "shop" / "runs" / "shop" / "evaluate" / "report.md").read_text(encoding="utf-8")
    assert "No policy grade exists" in report
    with process(bundle=str(tmp_path / "shop" / "bundle")) as (_, client):
        body = {"member": {"text": "room 7"}, "candidates": [{"id": "a", "text": "a lamp for room 7"}]}
        answer = client.post("/score", json=body).json()
    [score] = answer["scores"]
    assert list(score["heads"]) == ["click"]
    assert 0 < score["heads"]["click"] < 0.5
