"""A real Redis server, where the machine has one."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """Where redis-server is."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("needs redis-server (Debian's package of that name)")
    return found


@pytest.fixture(scope="module")
def redis_server(redis_binary: str) -> Iterator[RedisServer]:
    """A server that runs for the tests of one file."""
    server = RedisServer(redis_binary)
    server.start()
    yield server
    server.end()
