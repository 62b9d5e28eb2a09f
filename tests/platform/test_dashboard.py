"""The dashboard: Grafana's own types take it, and a live Prometheus has an answer to each of its queries."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.grafana.dashboard import FILE, dashboard
from deploy.grafana.panels import DRIFT
from models.bulk.model import open_model
from models.bulk.reference import measured_reference
from tests.platform.helm import NODE
from tests.platform.programs import free_ports, prometheus, query
from tests.support.service import MEMBER
from tests.support.service_process import process
from tests.support.split_bundles import write_split_bundle
from tests.support.waiting import eventually

TYPES = "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen"
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in dashboard()["panels"]
    for target in panel.get("targets", [])
]


def compiled(document: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """tsc's verdict on the dashboard as a value of Grafana's type."""
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    text = f'import type {{ Dashboard }} from "{TYPES}";\nexport const it: Dashboard = {json.dumps(document)};\n'
    (folder / "dashboard.ts").write_text(text, encoding="utf-8")
    command = [str(NODE / "node_modules" / ".bin" / "tsc"), "--strict", "--noEmit", "--skipLibCheck"]
    command += ["--module", "esnext", "--moduleResolution", "bundler", "dashboard.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_types_of_grafana_take_it(tmp_path: Path) -> None:
    done = compiled(json.loads(FILE.read_text(encoding="utf-8")), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("field", "value"), [("editable", "yes"), ("panels", None), ("refresh", 30), ("schemaVersion", None)]
)
def test_they_refuse_a_spoilt_one(field: str, value: object, tmp_path: Path) -> None:
    done = compiled({**dashboard(), field: value}, tmp_path)
    assert done.returncode != 0
    assert "TS2322" in done.stdout


def traffic(client: httpx.Client, ended: threading.Event) -> None:
    """Requests with known, unknown, stored and empty candidates, a few a second."""
    for round in itertools.count():
        texts = [{"id": str(num), "text": f"data engineer {max(num, 2) * round}"} for num in range(5)]
        body = {"member": MEMBER, "candidates": [*texts, {"id": "kept"}, {"id": "gone"}, {"id": "x", "text": " "}]}
        client.post("/score", json=body)
        client.post("/rerank", json={"query": f"chef {round}", "documents": ["pastry chef", "nurse"]})
        if ended.wait(0.2):
            return


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scraped a service under traffic, with a shadow and an audit log."""
    folder = tmp_path_factory.mktemp("live")
    write_split_bundle(folder / "plain" / "tiny-v1")
    reference = measured_reference(
        open_model(folder / "plain" / "tiny-v1"), [("data engineer", ["chef", "nurse"] * 5)] * 300
    )
    for version in "12":
        write_split_bundle(folder / f"tiny-v{version}", version=version, reference=reference)
    (folder / "key").write_bytes(b"k" * 32)
    (port,) = free_ports(1)
    audit = {"AUDIT": str(folder / "audit"), "AUDIT_KEY_FILE": str(folder / "key")}
    with (
        process(BUNDLE=str(folder / "tiny-v1"), METRICS_PORT=str(port), **audit) as (_, client),
        prometheus(folder, [f"127.0.0.1:{port}"]) as address,
    ):
        client.post("/v1/models/2:shadow", json={"share": 0.5}).raise_for_status()
        client.put("/candidates", json={"candidates": [{"id": "kept", "text": "senior nurse"}]}).raise_for_status()
        eventually(lambda: query(address, 'up{job="fitscore"} == 1'))
        ended = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(traffic, client, ended)
            try:
                eventually(lambda: query(address, asked(DRIFT)), within=120)
                yield address
            finally:
                ended.set()


def asked(expression: str) -> str:
    """The query as Grafana would send it, with spans that fit the seconds of this test."""
    expression = expression.replace("$__rate_interval", "10s").replace("[1h]", "[8s]").replace("offset 1d", "offset 8s")
    return expression.replace("$namespace", ".*").replace("$instance", ".*")


def has_an_answer(address: str, expression: str) -> bool:
    """Whether some series has a number."""
    import promql_parser  # only `make test-platform` installs it, and every tier collects this file

    promql_parser.parse(expression)
    return any(math.isfinite(float(each["value"][1])) for each in query(address, expression))


@pytest.mark.parametrize("expression", QUERIES)
def test_a_panel_is_not_empty_after_traffic(expression: str, live: str) -> None:
    eventually(lambda: has_an_answer(live, asked(expression)), within=10)


@pytest.mark.parametrize("expression", QUERIES[:3])
def test_a_misspelt_series_leaves_a_panel_empty(expression: str, live: str) -> None:
    assert not has_an_answer(live, asked(expression).replace("fitscore_", "fitscores_"))
