"""A real Redis server."""

import socket
import subprocess

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.waiting import eventually


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
            eventually(lambda: self._answers(client))

    def _answers(self, client: redis.Redis) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server ended"
        try:
            return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False

    def end(self) -> None:
        """End it at once, as a machine that fails."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        """A client of its own, which tries once."""
        return redis.Redis(port=self._port, retry=Retry(NoBackoff(), 0))
