"""Services with the tiny bundle; most tests need no socket. Every test and every fixture draws from the same seed."""

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from service.registry.swap import Load
from tests.support.bundles import write_tiny_bundle
from tests.support.service import Listening, Running, Serve, ServeOnPort, in_process, on_port, settings_of

# Few examples in `make test`, many in `make test-all`. A loaded machine may be slow, so no example has a deadline.
settings.register_profile("quick", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=300, deadline=None)
settings.load_profile("quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give trainings and clusters ten minutes, and all other tests the two minutes of pyproject.toml."""
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.timeout(600))  # a mark of its own goes first


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Weights that a fixture draws do not depend on the tests before it."""
    _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Nor do those of a test."""
    _seed()


def _seed() -> None:
    random.seed(0)
    if "torch" in sys.modules:  # tests of the service run without it
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, version 1, in a folder of its own."""
    path = tmp_path_factory.mktemp("bundles") / "tiny-v1"
    write_tiny_bundle(path)
    return path


@pytest.fixture
def serve(bundle: Path) -> Iterator[Serve]:
    """Start a service in this process: serve(max_body_bytes=10, ...)."""
    with ExitStack() as stack:

        def start(*, load: Load | None = None, wait: bool = True, **changes: object) -> Running:
            return stack.enter_context(
                in_process(settings_of(changes.pop("bundle", bundle), **changes), load=load, wait=wait)
            )

        yield start


@pytest.fixture
def serve_on_port(bundle: Path) -> Iterator[ServeOnPort]:
    """Start a service on a port, for tests of connections."""
    with ExitStack() as stack:

        def start(*, load: Load | None = None, wait: bool = True, **changes: object) -> Listening:
            return stack.enter_context(
                on_port(settings_of(changes.pop("bundle", bundle), **changes), load=load, wait=wait)
            )

        yield start


@pytest.fixture(scope="session")
def usual(bundle: Path) -> Iterator[Running]:
    """One service with usual settings, shared by tests that change nothing in it."""
    with in_process(settings_of(bundle)) as running:
        yield running


@pytest.fixture(scope="session")
def usual_on_port(bundle: Path) -> Iterator[Listening]:
    """The same on a port."""
    with on_port(settings_of(bundle)) as running:
        yield running
