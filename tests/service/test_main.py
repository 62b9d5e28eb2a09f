"""`python -m service` as a process: one clear line and an exit code on errors, and a quiet end on a signal."""

import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.__main__ import main, make_server
from service.http.connection_limits import Connection
from service.http.wire.listening import CannotListen, address, listen
from service.settings import read_settings
from tests.support.bundles import flip_a_bit, write_tiny_bundle
from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import ROOT, environment, process
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.process


def refused(**settings: str) -> tuple[int, str]:
    """Exit code and last line of a service that cannot run."""
    done = subprocess.run(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("fitscore: ")]
    assert len(lines) == 1, done.stderr
    return done.returncode, lines[0]


def test_an_unknown_setting_is_named() -> None:
    assert refused(PROT="1") == (2, "fitscore: FITSCORE_PROT is not a setting; did you mean FITSCORE_PORT?")


RefusedHere = Callable[..., tuple[int, str]]


@pytest.fixture
def refused_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RefusedHere:
    """As `refused`, in this process: for errors before the server runs."""

    def run(**settings: str) -> tuple[int, str]:
        for name, value in environment(settings).items():
            monkeypatch.setenv(name, value)
        return main(), capsys.readouterr().err.removesuffix("\n")

    return run


def test_a_bad_value_is_named_by_its_setting(bundle: Path, refused_here: RefusedHere) -> None:
    code, line = refused_here(BUNDLE=str(bundle), MAX_HEADERS="many")
    assert (code, line.split(":")[1]) == (2, " FITSCORE_MAX_HEADERS")


def test_a_bad_list_of_keys_is_not_repeated(refused_here: RefusedHere) -> None:
    code, line = refused_here(API_KEYS="web:s3cret")
    assert code == 2
    assert "FITSCORE_API_KEYS" in line
    assert "s3cret" not in line


def test_a_port_in_use_is_named(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refused(BUNDLE=str(bundle), PORT=str(port))
    assert (code, line) == (1, f"fitscore: cannot listen on 127.0.0.1:{port}: Address already in use")


def test_a_metrics_port_in_use_is_named(bundle: Path, refused_here: RefusedHere) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refused_here(BUNDLE=str(bundle), METRICS_PORT=str(port))
    assert (code, line) == (1, f"fitscore: cannot listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize("host", ["x" * 100, "a..b"])
def test_what_cannot_be_a_host_is_named(bundle: Path, refused_here: RefusedHere, host: str) -> None:
    code, line = refused_here(BUNDLE=str(bundle), HOST=host)
    assert (code, line.startswith(f"fitscore: cannot listen on {host}:0: ")) == (1, True)


@pytest.mark.parametrize(
    ("host", "url"), [("::1", "[::1]:8000"), ("::", "[::]:8000"), ("127.0.0.1", "127.0.0.1:8000"), ("a.b", "a.b:8000")]
)
def test_an_address_is_written_as_in_a_url(host: str, url: str) -> None:
    assert address(host, 8000) == url


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_works_with_and_without_brackets(host: str) -> None:
    try:
        with listen(host, 0) as listener:
            assert listener.getsockname()[0] == "::1"
    except CannotListen as error:
        if "in use" in str(error) or "brackets" in str(error):
            raise
        pytest.skip(f"this machine has no IPv6: {error}")


def test_an_unknown_host_is_named(bundle: Path) -> None:
    code, line = refused(BUNDLE=str(bundle), HOST="no-such-host.invalid")
    assert code == 1
    assert line.startswith("fitscore: cannot listen on no-such-host.invalid:0")


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    code, line = refused(BUNDLE=str(tmp_path / "none"))
    assert (code, line) == (1, f"fitscore: {tmp_path / 'none'} is not a bundle: no such folder")


def test_a_flipped_bit_is_named_by_its_file(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "b")
    flip_a_bit(tmp_path / "b" / "tiny.onnx")
    code, line = refused(BUNDLE=str(tmp_path / "b"))
    assert code == 1
    assert f"{tmp_path / 'b' / 'tiny.onnx'} was changed" in line


def test_too_little_memory_is_reported(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "b")
    with (tmp_path / "b" / "huge.onnx").open("wb") as file:
        file.truncate(1 << 42)
    code, line = refused(BUNDLE=str(tmp_path / "b"))
    assert code == 1
    assert "too little memory" in line


def connection_class(environment: dict[str, str]) -> type[Connection]:
    config = make_server(read_settings(environment), []).config
    config.load()
    kind = config.http_protocol_class
    assert issubclass(kind, Connection)
    return kind


def test_an_idle_connection_outlives_the_load_balancers_timeout() -> None:
    assert connection_class({}).settings.server.keep_alive_s > 60
    assert connection_class({"FITSCORE_KEEP_ALIVE_S": "7"}).settings.server.keep_alive_s == 7


def test_the_limit_on_open_files_bounds_the_connections() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connection_class({"FITSCORE_MAX_CONNECTIONS": "100000"}).max_connections <= soft
    assert connection_class({"FITSCORE_MAX_CONNECTIONS": "7"}).max_connections == 7


def test_a_signal_ends_the_service_quietly_after_the_drain_delay(bundle: Path) -> None:
    with process(BUNDLE=str(bundle), DRAIN_DELAY_S="2") as (started, client):
        body = {"member": MEMBER, "candidates": CANDIDATES}
        assert client.post("/score", json=body).status_code == 200
        started.send_signal(signal.SIGTERM)
        eventually(lambda: client.get("/readyz").status_code != 200)
        assert client.get("/readyz").json() == {"phase": "draining"}
        assert client.get("/livez").status_code == 200
        assert client.post("/score", json=body).status_code == 200
        assert started.wait(PATIENCE_S) == 0


def test_ctrl_c_ends_the_service_without_a_traceback(bundle: Path) -> None:
    with process(BUNDLE=str(bundle)) as (started, _):
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=PATIENCE_S)
        assert started.returncode == 130
        assert "Traceback" not in errors


def test_metrics_are_on_a_port_of_their_own_that_any_host_may_name(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with process(BUNDLE=str(bundle), METRICS_PORT=str(port), HOSTS="scores.example.org") as (started, client):
        assert client.post("/score", json={}).status_code == 421
        client.headers["Host"] = "scores.example.org"
        inside = f"http://127.0.0.1:{port}"
        assert client.get("/metrics").status_code == 404
        assert client.get("/readyz").status_code == 200
        assert "fitscore_requests_total" in httpx.get(f"{inside}/metrics", timeout=PATIENCE_S).text
        assert httpx.get(f"{inside}/readyz", timeout=PATIENCE_S).status_code == 200
        body = {"member": MEMBER, "candidates": CANDIDATES}
        assert httpx.post(f"{inside}/score", json=body, timeout=PATIENCE_S).status_code == 404
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 0
