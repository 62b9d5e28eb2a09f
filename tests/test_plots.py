"""The plots are those of the dated results, and show no run that measured less than it says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(rate: float, not_200: int, base: str = "fitscore") -> str:
    server: dict[str, Any] = {"server": "fitscore", "pairs/s": rate, "not 200": not_200}
    return json.dumps({"base": base, "machine": "two cores", "servers": [server]})


def test_the_committed_plots_are_current(pictures: ModuleType) -> None:
    for path, svg in pictures.plots():
        assert path.read_text(encoding="utf-8") == svg, f"{path.name}: run make pictures"


@pytest.mark.parametrize(
    ("newer", "shown"),
    [
        ([run(30.0, 0)], 30.0),
        ([run(30.0, 0), run(40.0, 0)], 40.0),
        ([run(30.0, 2)], 20.0),
        ([run(3.0, 0, "naive")], 20.0),
    ],
)
def test_the_last_run_in_which_every_request_was_answered_is_drawn(
    pictures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newer: list[str], shown: float
) -> None:
    monkeypatch.setattr(pictures, "RESULTS", tmp_path)
    (tmp_path / "2026-01-01-peers.md").write_text(run(20.0, 0), encoding="utf-8")
    (tmp_path / "2026-01-02-peers.md").write_text("\n\n".join(newer), encoding="utf-8")
    (bar,) = pictures.peers_panel().bars
    assert bar.value == shown
