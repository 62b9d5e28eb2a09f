"""The path of a request stays straight: how many files it enters, and how often it changes file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.split_bundles import write_split_bundle
from tests.support.waiting import PATIENCE_S

MOST_FILES, MOST_CHANGES = 39, 104
"""Of a warm request: 38, and 99 to 102; two threads take turns, and at times a timer comes between."""


@pytest.mark.process
def test_a_warm_request_enters_few_files_and_seldom_changes_file(tmp_path: Path) -> None:
    write_split_bundle(tmp_path / "split")
    command = [sys.executable, "-m", "load_tests.trace_request", "--bundle", str(tmp_path / "split")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    warm, cold = (
        [int(number) for number in re.findall(r"(\d+) (?:files|changes)", line)] for line in done.stdout.splitlines()
    )
    assert warm[0] <= MOST_FILES
    assert warm[1] <= MOST_CHANGES
    assert cold[1] > warm[1]
