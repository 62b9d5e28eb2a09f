"""The alert rules: promtool's own tests, and the chain from a fault of a real service to a notification."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.platform.programs import PROMETHEUS, alertmanager, free_ports, prometheus, query, webhook
from tests.support.poison_bundles import WORD, write_poison_bundle
from tests.support.redis_server import RedisServer
from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import process
from tests.support.waiting import eventually

RULES = PROMETHEUS / "rules.yaml"
GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
ALERTS = [rule["alert"] for group in GROUPS for rule in group["rules"] if "alert" in rule]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def failures(folder: Path, rules: str) -> str:
    """What promtool prints about the tests that fail with these rules; one file a call, since it mixes up several."""
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    tests = [shutil.copy(path, folder) for path in sorted(PROMETHEUS.glob("rules*_test.yaml"))]
    done = [promtool("test", "rules", str(path)) for path in tests]
    return "".join(each.stdout + each.stderr for each in done if each.returncode)


def test_promtool_takes_rules_and_configuration() -> None:
    assert promtool("check", "rules", str(RULES)).returncode == 0
    assert promtool("check", "config", str(PROMETHEUS / "prometheus.yaml")).returncode == 0


def test_the_rules_pass_their_tests(tmp_path: Path) -> None:
    assert failures(tmp_path, RULES.read_text(encoding="utf-8")) == ""


@pytest.mark.parametrize("alert", ALERTS)
def test_without_a_rule_its_test_fails(alert: str, tmp_path: Path) -> None:
    without = [{**group, "rules": [rule for rule in group["rules"] if rule.get("alert") != alert]} for group in GROUPS]
    assert alert in failures(tmp_path, yaml.safe_dump({"groups": without}))


@pytest.mark.parametrize("alert", ALERTS)
def test_a_rule_that_always_fires_fails_its_test(alert: str, tmp_path: Path) -> None:
    always = [
        {
            **group,
            "rules": [
                {**rule, "expr": "vector(1)", "for": "0s"} if rule.get("alert") == alert else rule
                for rule in group["rules"]
            ],
        }
        for group in GROUPS
    ]
    assert failures(tmp_path, yaml.safe_dump({"groups": always}))


def hurried(rules: str) -> str:
    """The rules with minutes and hours as seconds, for a test that does not wait for them."""
    rules = re.sub(r"for: \d+[sm]", "for: 1s", rules)
    return rules.replace("[5m]", "[8s]").replace("[10m]", "[20s]").replace("[30m]", "[30s]").replace("[1h]", "[9s]")


@dataclass(frozen=True)
class Chain:
    """Two services that Prometheus scrapes, one of which refuses all work, and the notifications that arrived."""

    service: subprocess.Popen[str]
    client: httpx.Client
    refusing: httpx.Client
    redis: RedisServer
    prometheus: str
    arrived: list[dict[str, Any]]

    def score(self, text: str = "python") -> httpx.Response:
        body = {"member": MEMBER, "candidates": [*CANDIDATES, {"id": "x", "text": text}]}
        return self.client.post("/score", json=body, timeout=10)

    def notified(self, alert: str, status: str = "firing") -> bool:
        return any(each["labels"]["alertname"] == alert and each["status"] == status for each in self.arrived)

    def expect(self, alert: str, status: str = "firing") -> None:
        eventually(lambda: self.notified(alert, status), within=60)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    folder = tmp_path / "chain"
    folder.mkdir()
    (folder / "rules.yaml").write_text(hurried(RULES.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "key").write_bytes(b"k" * 32)
    ports = free_ports(2)
    redis = RedisServer("redis-server")
    redis.start()
    settings = {
        "BUNDLE": str(write_poison_bundle(tmp_path / "loop", "loop")),
        "STORE": redis.url,
        "AUDIT": str(folder / "audit"),
        "AUDIT_KEY_FILE": str(folder / "key"),
        "AUDIT_WHEN_FULL": "drop",
        "AUDIT_WAITING_BYTES": "16384",
        "METRICS_PORT": str(ports[0]),
        "HANG_S": "1",
    }
    overloaded = {"BUNDLE": settings["BUNDLE"], "MAX_BACKLOG_S": "0", "METRICS_PORT": str(ports[1])}
    try:
        with (
            process(**settings) as (service, client),
            process(**overloaded) as (_, refusing),
            webhook() as (receiver, arrived),
            alertmanager(folder, receiver) as manager,
            prometheus(folder, [f"127.0.0.1:{port}" for port in ports], alertmanager=manager) as address,
        ):
            yield Chain(service, client, refusing, redis, address, arrived)
    finally:
        redis.end()


def test_each_planted_fault_reaches_the_webhook(chain: Chain) -> None:
    eventually(lambda: query(chain.prometheus, 'up{job="fitscore"} == 1'))
    scored = 'fitscore:scoring_requests:rate5m{outcome="ok"} > 0'
    eventually(lambda: chain.score().is_success and query(chain.prometheus, scored), within=60)
    pages = [each["labels"] for each in chain.arrived if each["labels"]["severity"] == "page"]
    assert pages == [], "a healthy service alerts"

    chain.redis.end()
    chain.expect("FitscoreStoreDown")
    chain.redis.start()
    chain.expect("FitscoreStoreDown", "resolved")

    eventually(
        lambda: (
            chain.refusing.post("/score", json={"member": MEMBER, "candidates": CANDIDATES})
            and chain.notified("FitscoreOverload")
        ),
        within=60,
    )
    chain.expect("FitscoreGoodputLow")

    resource.prlimit(chain.service.pid, resource.RLIMIT_FSIZE, (1, 1))  # as on a full disk, no file can grow
    chain.score()
    chain.expect("FitscoreAuditFull")
    eventually(lambda: chain.score() and chain.notified("FitscoreAuditDrops"), within=60)

    with pytest.raises(httpx.HTTPError):
        chain.score(WORD).raise_for_status()
    chain.expect("FitscoreModelHangs")
    chain.expect("FitscoreNotReady")
    chain.expect("FitscoreModelRunsFail")

    chain.service.kill()
    chain.expect("FitscoreDown")
