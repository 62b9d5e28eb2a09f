"""Rules that hold for both clients are tested with both."""

import pytest

from client_tests.fake_service import World


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    """Each client in turn, before a scripted service."""
    return World(asynchronous=request.param == "async")


@pytest.fixture
def async_world() -> World:
    """The asynchronous client before a scripted service."""
    return World(asynchronous=True)
