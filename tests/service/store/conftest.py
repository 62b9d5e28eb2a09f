"""A real Redis server, where the machine has one."""

import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.fakes import PATIENCE_S


class RedisServer:
    """A redis-server of our own, on a free port; it can be ended and started again."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        # A generous timeout: the machine that runs the tests may be busy.
        self.url = f"redis://127.0.0.1:{self._port}/0?socket_timeout=5&socket_connect_timeout=5"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it, empty, and wait until it answers."""
        quiet = ("--save", "", "--appendonly", "no", "--loglevel", "warning", "--bind", "127.0.0.1")
        command = [self._binary, "--port", str(self._port), *quiet, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with redis.Redis(port=self._port, retry=Retry(NoBackoff(), 0)) as client:
            for _ in range(int(PATIENCE_S * 1000)):
                try:
                    client.ping()
                    return
                except redis.exceptions.ConnectionError:
                    assert self._process.poll() is None, "redis-server ended"

    def end(self) -> None:
        """End it at once, as a machine that fails."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        """A client of its own, which tries once."""
        return redis.Redis(port=self._port, retry=Retry(NoBackoff(), 0))


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
