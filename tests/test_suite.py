"""Rules for the tests themselves: shared helpers are in tests/support, every wait ends, serving tests need no torch."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
NEVER_WITH_THE_SERVICE = ("torch", "transformers", "accelerate", "peft", "polars", "ray", "matplotlib")
COLLECT = f"""
import sys
import pytest
sys.modules.update(dict.fromkeys({NEVER_WITH_THE_SERVICE}))
sys.exit(pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def offences(source: str) -> list[str]:
    """What a test file does against the rules, in the order of its lines."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests."):
            name = node.module.rsplit(".", 1)[-1]
            if name.startswith("test_") or name == "conftest":
                found.append((node.lineno, f"imports {node.module}"))
        if isinstance(node, ast.While) and _spins(node):
            found.append((node.lineno, "waits without a bound"))
    return [what for _, what in sorted(found)]


def _spins(loop: ast.While) -> bool:
    if any(isinstance(node, ast.Await) for node in ast.walk(loop.test)):
        return False  # the event loop wakes it
    return len(loop.body) == 1 and (isinstance(loop.body[0], ast.Pass) or "sleep(" in ast.unparse(loop.body[0]))


def test_no_test_file_breaks_the_rules() -> None:
    found = {str(path.relative_to(TESTS)): offences(path.read_text(encoding="utf-8")) for path in TESTS.rglob("*.py")}
    assert {path: each for path, each in found.items() if each} == {}


def test_planted_offences_are_found() -> None:
    source = """
from tests.service.test_app import BODY
from tests.conftest import serve
from tests.support.waiting import eventually
while not done():
    pass
async def wait():
    while busy():
        await asyncio.sleep(0)
    while await more():
        pass
    while True:
        if ready() or now() > end:
            break
"""
    assert offences(source) == [
        "imports tests.service.test_app",
        "imports tests.conftest",
        "waits without a bound",
        "waits without a bound",
    ]


FIRST_DRAWS: set[float] = set()


@pytest.fixture
def torch() -> Any:
    """Imported before the seed of what uses it is set: in a run of this file alone nothing else imports it."""
    return pytest.importorskip("torch")


@pytest.fixture
def drawn(torch: Any) -> float:
    return float(torch.rand(1)) + random.random()


@pytest.mark.parametrize("_", range(2))
def test_every_test_and_every_fixture_draws_from_the_same_seed(torch: Any, drawn: float, _: int) -> None:
    FIRST_DRAWS.update([drawn, float(torch.rand(1)) + random.random()])
    assert len(FIRST_DRAWS) == 1


def collected(*folders: str) -> subprocess.CompletedProcess[str]:
    """pytest's collection of these folders where the training packages cannot be imported."""
    command = [sys.executable, "-c", COLLECT, *(f"tests/{folder}" for folder in folders)]
    return subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_the_tests_of_the_service_can_be_collected_without_torch() -> None:
    done = collected("service", "models", "faults")
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.process
def test_a_training_test_cannot_be_collected_without_torch() -> None:
    """The negative control of the test above."""
    assert collected("training/trainer").returncode != 0
