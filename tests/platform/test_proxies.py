"""The proxies in front of the service, run with their shipped configuration: only callers' paths pass."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.http.guard import PATHS
from tests.platform.helm import ROOT
from tests.platform.programs import answers, free_ports
from tests.support.bundles import write_tiny_bundle
from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import process
from tests.support.waiting import eventually

PROXIES = ROOT / "deploy" / "proxy"
CERTIFICATE = {
    "haproxy": "/etc/haproxy/fitscore.pem",
    "nginx": "/etc/nginx/fitscore.pem",
    "envoy": "/etc/envoy/fitscore.pem",
}
LISTEN = {
    "haproxy": ("bind :8443", "bind 127.0.0.1:{port}"),
    "nginx": ("listen 8443", "listen 127.0.0.1:{port}"),
    "envoy": ("address: 0.0.0.0, port_value: 8443", "address: 127.0.0.1, port_value: {port}"),
}
UPSTREAM = {"envoy": ("port_value: 8000", "port_value: {port}")}
COMMAND = {
    "haproxy": ["haproxy", "-db", "-f"],
    "nginx": ["nginx", "-g", "daemon off;", "-c"],
    "envoy": ["envoy", "--use-dynamic-base-id", "--concurrency", "1", "-c"],
}
CHECK = {
    "haproxy": ["haproxy", "-c", "-f"],
    "nginx": ["nginx", "-t", "-c"],
    "envoy": ["envoy", "--mode", "validate", "-c"],
}
FILE = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "envoy": "envoy.yaml"}
# What the proxy would be without its last word.
OPENED = {
    "haproxy": (
        "deny_status 404 unless scoring or info or candidates or candidate",
        "deny_status 404 if { path /metrics }",
    ),
    "nginx": (
        "location / { return 404; }",
        "location / { proxy_pass http://fitscore; } location = /metrics { return 404; }",
    ),
    "envoy": (
        "- match: {prefix: /}\n                          direct_response: {status: 404}",
        "- match: {path: /metrics}\n                          direct_response: {status: 404}\n"
        "                        - match: {prefix: /}\n                          route: *fitscore",
    ),
}
# Ways around a list of what is denied: haproxy's `path` is not decoded, and a list forgets some path.
AROUND = {"haproxy": "/%6detrics", "nginx": "/openapi.json", "envoy": "/openapi.json"}


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its port, and the file of its output."""

    port: int
    log: Path

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> http.client.HTTPResponse:
        """Send the path as it is, byte for byte."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        raw = None if body is None else json.dumps(body).encode()
        connection.request(method, path, raw, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with a key and a certificate of its own."""
    folder = tmp_path_factory.mktemp("certificate")
    parts = [str(folder / name) for name in ("key.pem", "certificate.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*command, "-keyout", parts[0], "-out", parts[1]], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text("".join(Path(part).read_text(encoding="ascii") for part in parts), encoding="ascii")
    return str(both)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a service without keys and without a port of its own for metrics: the proxy alone protects it."""
    path = tmp_path_factory.mktemp("bundle") / "tiny-v1"
    write_tiny_bundle(path)
    with process(BUNDLE=str(path)) as (_, client):
        yield int(client.base_url.port or 0)


def configured(
    name: str, folder: Path, certificate: str, port: int, service: int, change: tuple[str, str] | None
) -> Path:
    """The shipped file with addresses and certificate of this test."""
    old, new = LISTEN[name]
    upstream, to = UPSTREAM.get(name, ("127.0.0.1:8000", "127.0.0.1:{port}"))
    changes = [(old, new.format(port=port)), (upstream, to.format(port=service)), (CERTIFICATE[name], certificate)]
    text = (PROXIES / FILE[name]).read_text(encoding="utf-8")
    for before, after in [*changes, *([change] if change else [])]:
        assert before in text, before
        text = text.replace(before, after)
    path = folder / FILE[name]
    path.write_text(text, encoding="utf-8")
    return path


Started = Callable[..., Proxy]


@contextmanager
def started(
    name: str, folder: Path, certificate: str, service: int, change: tuple[str, str] | None = None
) -> Iterator[Proxy]:
    (port,) = free_ports(1)
    path = configured(name, folder, certificate, port, service, change)
    log = folder / "log"
    with log.open("wb") as output:
        running = subprocess.Popen([*COMMAND[name], str(path)], cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    proxy = Proxy(port, log)
    try:
        ready = f"https://127.0.0.1:{port}/candidates:progress"
        eventually(lambda: running.poll() is not None or answers(ready))
        assert running.poll() is None, log.read_text(encoding="utf-8")
        yield proxy
    finally:
        running.terminate()
        running.wait()


@pytest.fixture(scope="module", params=list(FILE))
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: str, service: int
) -> Iterator[Proxy]:
    with started(request.param, tmp_path_factory.mktemp(request.param), certificate, service) as running:
        yield running


@pytest.mark.parametrize("name", FILE)
def test_the_proxy_takes_its_configuration_and_not_a_spoilt_one(name: str, tmp_path: Path, certificate: str) -> None:
    spoilt = {"haproxy": ("balance leastconn", "balance leastcon"), "nginx": ("least_conn;", "least_con;")}
    change = spoilt.get(name, ("lb_policy: LEAST_REQUEST", "lb_policy: LEAST"))
    for wrong in (None, change):
        path = configured(name, tmp_path, certificate, 8443, 8000, wrong)
        done = subprocess.run([*CHECK[name], str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (wrong is None), done.stdout + done.stderr


RERANK: dict[str, object] = {"query": "data engineer", "documents": ["python"]}
PAIR: dict[str, object] = {"text_1": "data engineer", "text_2": "python"}
BODIES: dict[str, dict[str, object]] = {
    "/score": {"member": MEMBER, "candidates": CANDIDATES},
    "/v1/reranking": {"query": "data engineer", "input": ["python"]},
    "/v1/score": PAIR,
    "/vllm/score": PAIR,
    "/vllm/v1/score": PAIR,
    "/predict": {"inputs": ["data engineer", "python"]},
    "/": {"inputs": {"source_sentence": "data engineer", "sentences": ["python"]}},
}


@pytest.mark.parametrize("path", ["/score", "/rerank", "/", *PATHS])
def test_callers_are_served(path: str, proxy: Proxy) -> None:
    assert proxy.ask("POST", path, BODIES.get(path, RERANK)).status == 200


def test_tei_clients_read_the_description_of_the_model(proxy: Proxy) -> None:
    assert proxy.ask("GET", "/info").status == 200
    assert proxy.ask("POST", "/info", {}).status in (403, 404, 405)
    assert proxy.ask("GET", "/").status in (403, 404, 405)


def test_candidates_are_stored_and_deleted(proxy: Proxy) -> None:
    stored = {"candidates": [{"id": "a b", "text": "python"}, {"id": "c%d", "text": "chef"}]}
    assert proxy.ask("PUT", "/candidates", stored).status == 200
    assert proxy.ask("GET", "/candidates:progress").status == 200
    assert proxy.ask("DELETE", "/candidates/a%20b").status == 204
    assert proxy.ask("DELETE", "/candidates/c%25d").status == 204


def test_a_body_within_the_limit_of_the_service_passes(proxy: Proxy) -> None:
    many = [{"id": str(num), "text": "data engineer " * 250} for num in range(900)]
    assert proxy.ask("POST", "/score", {"member": MEMBER, "candidates": many}).status == 200


def test_a_larger_body_is_413(proxy: Proxy) -> None:
    try:
        status = proxy.ask("POST", "/score", {"member": {"text": "x" * (5 << 20)}, "candidates": []}).status
    except (BrokenPipeError, ConnectionError, ssl.SSLError):  # it was refused before all of it was sent
        return
    assert status == 413


INSIDE = (
    "/metrics", "/livez", "/readyz", "/startupz", "/openapi.json", "/v1/models", "/v1/models/1:activate",
    "/v1/models/1:shadow", "/v1/models/1:rollback",
)  # fmt: skip


def disguised(path: str) -> Iterator[str]:
    """Other ways to write a path, some of which the service, or a careless comparison, takes for the same."""
    yield path
    for place in (1, len(path) // 2, len(path) - 1):
        yield f"{path[:place]}%{ord(path[place]):02x}{path[place + 1 :]}"
    yield "/" + "".join(f"%{ord(letter):02X}" for letter in path[1:])
    yield f"/%25{ord(path[1]):02x}{path[2:]}"
    yield f"/.{path}"
    yield f"/%2e{path}"
    yield f"/{path}"
    yield f"/%2f{path[1:]}"
    yield f"/score/..{path}"
    yield f"/candidates/..{path}"
    yield f"/candidates/%2e%2e{path}"
    yield f"/candidates/..%2f{path[1:]}"
    yield f"/candidates%2f..{path}"
    yield f"{path}/"
    yield f"{path};/score"
    yield f"{path}%3f/score"
    yield f"{path}?x=/score"
    yield f"{path}%00"
    yield path.upper()


@pytest.mark.parametrize("path", INSIDE)
def test_operations_and_models_stay_inside_however_the_path_is_written(path: str, proxy: Proxy) -> None:
    for written in disguised(path):
        for method in ("GET", "POST", "DELETE"):
            if method == "DELETE" and written.startswith("/candidates"):
                continue  # the deletion of an odd id
            status = proxy.ask(method, written, {} if method == "POST" else None).status
            assert status in (400, 403, 404, 405, 307), (method, written, status)


@pytest.mark.parametrize("name", FILE)
def test_a_proxy_that_only_denies_paths_can_be_walked_around(
    name: str, tmp_path: Path, certificate: str, service: int
) -> None:
    """The control: the same attempts find the way when the list of what passes is gone."""
    with started(name, tmp_path, certificate, service, OPENED[name]) as running:
        assert running.ask("GET", "/metrics").status in (404, 405)
        assert running.ask("GET", AROUND[name]).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/score"), ("PUT", "/rerank"), ("POST", "/candidates"), ("TRACE", "/score")]
)
def test_other_methods_do_not_pass(method: str, path: str, proxy: Proxy) -> None:
    assert proxy.ask(method, path).status in (403, 404, 405)


def test_nothing_that_a_caller_chose_is_logged(proxy: Proxy) -> None:
    proxy.ask("DELETE", "/candidates/seldom-in-a-path", **{"X-Canary": "seldom-in-a-header"})
    proxy.ask("POST", "/score?seldom-in-a-query", {"member": {"text": "seldom-in-a-body"}, "candidates": CANDIDATES})
    proxy.ask("GET", "/seldom-in-a-wrong-path")
    assert "seldom" not in proxy.log.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
def test_http_2_is_spoken(proxy: Proxy) -> None:
    command = ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    done = subprocess.run(
        [*command, f"https://127.0.0.1:{proxy.port}/candidates:progress"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "2 200"
