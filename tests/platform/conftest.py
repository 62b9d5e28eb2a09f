"""Everything here runs real programs, so all of it has the marker `platform`."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("platform")
            item.add_marker(pytest.mark.timeout(300), append=False)


@pytest.fixture(scope="session", autouse=True)
def _debian_places() -> None:
    """Debian keeps haproxy and nginx where only root's path looks."""
    os.environ["PATH"] += ":/usr/sbin"
