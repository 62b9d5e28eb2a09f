"""What serves is installed without some packages that its dependencies name: nothing that it runs imports them."""

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import ROOT, process

UNUSED = frozenset(
    re.findall(r"^[a-z].*", (ROOT / "container" / "unused.txt").read_text(encoding="utf-8"), re.MULTILINE)
)
# They name packages that only their downloads and tools import.
TOOLS = frozenset({"tokenizers", "onnxruntime"})


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(extras: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """Names of all packages that these extras install, but for what only the packages in `without` need."""
    found: set[str] = set()
    waiting = [("fitscore", extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        found.add(name)
        for each in () if name in without else map(Requirement, requires(name) or ()):
            if each.marker is None or each.marker.evaluate({"extra": extra}):
                new = {(normal(each.name), part) for part in ("", *each.extras)} - seen
                seen |= new
                waiting += new
    return found


def without(packages: Iterable[str]) -> tuple[str, ...]:
    """Arguments of Python that start the service where these packages cannot be imported."""
    names = {name for name, owners in packages_distributions().items() if set(map(normal, owners)) & set(packages)}
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({sorted(names)})); runpy.run_module"
    return "-c", f"{code}('service', run_name='__main__')"


def test_nothing_that_may_be_installed_beside_the_service_needs_an_unused_package() -> None:
    extras = ("service-cpu", "audit", "otel", "bulk")
    assert not needed(extras, without=TOOLS) & UNUSED
    assert needed(extras) >= UNUSED - {"pip", "setuptools"}, "the list names packages that nothing installs"


@pytest.mark.process
def test_the_service_scores_without_the_unused_packages(bundle: Path) -> None:
    with process(*without(UNUSED), BUNDLE=str(bundle)) as (_, client):
        answer = client.post("/score", json={"member": MEMBER, "candidates": CANDIDATES})
        assert [each["status"] for each in answer.json()["scores"]] == ["scored"] * len(CANDIDATES)


@pytest.mark.process
def test_the_service_does_not_start_without_a_package_that_it_imports() -> None:
    command = [sys.executable, *without({*UNUSED, "orjson"})]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "import of orjson halted" in done.stderr
