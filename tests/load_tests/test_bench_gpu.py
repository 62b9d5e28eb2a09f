"""The GPU comparison runs on the CPU, and fails when a run mode differs from the plain mode."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from load_tests import bench_gpu
from models.errors import BundleError, DeviceError
from models.runtime.io_binding import BoundSession
from models.runtime.session import Feeds, Outputs
from tests.support.bundles import write_tiny_bundle
from tests.support.split_bundles import write_split_bundle

ROOT = Path(__file__).parents[2]
SMALL = "--device cpu --seconds 0 --members 2 --candidates 3 --member-words 5 --candidate-words 4 --max-pairs 4".split()


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("bundles")
    write_tiny_bundle(folder / "flat")
    write_split_bundle(folder / "split", name="tiny-split")
    return [str(folder / "flat"), str(folder / "split")]


def test_both_kinds_of_model_are_compared_in_every_available_run_mode(
    bundles: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.md"
    assert bench_gpu.main([*bundles, *SMALL, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text == out.read_text()
    assert [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| tiny")] == [
        ["| tiny 1, cross", "plain"],
        ["| tiny 1, cross", "bound"],
        ["| tiny-split 1, split", "plain"],
        ["| tiny-split 1, split", "bound"],
    ]
    assert "Not run: tiny 1, cross, graphs: DeviceError: 'graphs' needs a GPU" in text
    result = json.loads(text.splitlines()[-1])
    assert result["device"] == "cpu"
    assert all(row["pairs/s"] > 0 for row in result["rows"] if "error" not in row)


def test_a_run_mode_with_other_scores_fails_the_command(
    bundles: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = BoundSession.run_all

    def stale(self: BoundSession, feeds: Feeds) -> Outputs:
        return {name: np.roll(array, 1, axis=-2) for name, array in right(self, feeds).items()}

    monkeypatch.setattr(BoundSession, "run_all", stale)
    assert bench_gpu.main([bundles[1], *SMALL]) == 1
    assert "| False |" in capsys.readouterr().out


def test_a_run_mode_that_fails_states_why_and_keeps_the_other_rows(
    bundles: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: BoundSession) -> None:
        raise BundleError("the graph cannot be captured") from RuntimeError("a node\n  is not on the GPU")

    monkeypatch.setattr(BoundSession, "warm_up", broken)
    assert bench_gpu.main([bundles[1], *SMALL]) == 1
    text = capsys.readouterr().out
    assert "| tiny-split 1, split | plain |" in text
    assert "bound: BundleError: the graph cannot be captured: a node is not on the GPU" in text


def test_cuda_without_a_gpu_is_an_error(bundles: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gpu, "load_torch", lambda: None)  # slow, and without CUDA here
    with pytest.raises(DeviceError, match="'cuda' was requested"):
        bench_gpu.main([bundles[0], *SMALL, "--device", "cuda"])


def test_a_packed_folder_runs_by_itself(bundles: list[str], tmp_path: Path) -> None:
    app = tmp_path / "app"
    (tmp_path / "wheels").mkdir()
    for pattern in ("models/**/*.py", "load_tests/__init__.py", "load_tests/[br]e*.py"):
        for file in ROOT.glob(pattern):
            copy = app / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    shutil.copytree(bundles[0], app / "models" / "flat")
    tokenizer = app / "models" / "flat" / "tokenizer.json"
    whole = tokenizer.read_bytes()
    tokenizer.with_name("tokenizer.json.part000").write_bytes(whole[:1000])
    tokenizer.with_name("tokenizer.json.part001").write_bytes(whole[1000:])
    tokenizer.unlink()
    shutil.copy(ROOT / "load_tests" / "bench_gpu.sh", tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "commit").write_text("0123abcd\n")
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    command = [str(tmp_path / "bench_gpu.sh"), "run", str(tmp_path), *SMALL]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert tokenizer.read_bytes() == whole
    result = (tmp_path / "result.md").read_text()
    assert "| tiny 1, cross | bound |" in result
    assert result.endswith("\nPacked from commit 0123abcd.\n")
