"""Programs that listen on this machine's loopback, started for a test and ended with it."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.platform.helm import ROOT
from tests.support.waiting import eventually

PROMETHEUS = ROOT / "deploy" / "prometheus"


def free_ports(num: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(num)]
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, verify=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def program(command: Sequence[str], folder: Path, *, ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that answers at `ready`; its output goes into a file of `folder`."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        started = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: started.poll() is not None or answers(ready))
            assert started.poll() is None, log.read_text(encoding="utf-8")
            yield started
        finally:
            started.kill()
            started.wait()


def written(path: Path, document: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], *, alertmanager: str = "") -> Iterator[str]:
    """Prometheus as it is shipped, with other targets and a scrape each second; yields its address.

    Its rules are `rules.yaml` of `folder`, if there is one.
    """
    config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": list(targets)}]
    if not (folder / "rules.yaml").exists():
        del config["rule_files"]
    if alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (port,) = free_ports(1)
    command = ["prometheus", f"--config.file={written(folder / 'prometheus.yaml', config)}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    address = f"http://127.0.0.1:{port}"
    with program(command, folder, ready=f"{address}/-/ready"):
        yield address


def query(address: str, expression: str) -> list[dict[str, Any]]:
    """An instant query's results."""
    answer = httpx.get(f"{address}/api/v1/query", params={"query": expression}, timeout=30).json()
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of Alertmanager's notifications: its address, and the alerts that arrived."""
    arrived: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.extend(yaml.safe_load(body)["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", arrived
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def alertmanager(folder: Path, receiver: str) -> Iterator[str]:
    """Alertmanager that sends each alert at once; yields its host and port."""
    route = {"receiver": "hook", "group_by": ["..."], "group_wait": "1s", "group_interval": "1s"}
    hook = {"name": "hook", "webhook_configs": [{"url": receiver, "send_resolved": True}]}
    config = written(folder / "alertmanager.yaml", {"route": route, "receivers": [hook]})
    (port,) = free_ports(1)
    command = ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'alerts'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with program(command, folder, ready=f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"
