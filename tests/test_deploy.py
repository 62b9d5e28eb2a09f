"""The files of deploy/ that can be checked without the programs that read them; tests/platform runs those."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy import values_schema
from deploy.grafana import dashboard
from deploy.grafana.panels import NOT_SHOWN
from service.app import create_app
from service.http.guard import PATHS, SCORING
from service.settings import read_settings
from tests.support.service import ServeOnPort, settings_of

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SERIES = re.compile(r"\b(?:fitscore|process)_[a-z0-9_]+")


def values(path: str, value: object) -> dict[str, Any]:
    """The chart's own values with one changed, as `drain.graceSeconds`."""
    own: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "fitscore" / "values.yaml").read_text(encoding="utf-8"))
    *groups, name = path.split(".")
    reduce(lambda group, key: group[key], groups, own)[name] = value
    return own


def valid(changed: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(values_schema.schema()).is_valid(changed))


def test_the_schema_of_the_values_is_current() -> None:
    written = values_schema.FILE.read_text(encoding="utf-8")
    assert written == values_schema.rendered(), "run make deploy-files"


def test_the_chart_has_a_usual_value_for_everything() -> None:
    assert valid(values("replicas", 2))


BAD: tuple[tuple[str, object], ...] = (
    ("replicas", 0),
    ("replicas", "2"),
    ("replicas", 1.5),
    ("replica", 2),
    ("image.tag", "latest"),
    ("image.tag", ""),
    ("image.tag", "a b"),
    ("image.repository", ""),
    ("image.repository", "Fitscore"),
    ("image.digest", "sha256:abc"),
    ("image.pullPolicy", "Sometimes"),
    ("image.pullSecrets", [""]),
    ("fullnameOverride", "-a"),
    ("fullnameOverride", "a" * 56),
    ("bundle.source", "git"),
    ("bundle.source", "volume"),  # without a claim
    ("bundle.claim", "unused"),  # with the source `image`
    ("bundle.path", "jobs-v1"),
    ("device", "gpu"),
    ("threads", 0),
    ("gpu.run", "fast"),
    ("gpu.resource", "gpu"),
    ("resources.requests.cpu", "two"),
    ("resources.requests.cpu", 0),
    ("resources.requests.cpu", "0m"),
    ("resources.requests.memory", "2 GB"),
    ("resources.requests.memory", "0Gi"),
    ("resources.limits", {}),
    ("resources.limits", None),
    ("resources.limits.memory", "2gi"),
    ("listenAddress", "127.0.0.1"),  # no probe and no caller would reach it
    ("port", 80),
    ("port", 70_000),
    ("metricsPort", 0),
    ("service.type", "ExternalName"),
    ("service.port", 0),
    ("service.annotations", {"a": 1}),
    ("drain.delaySeconds", 0),
    ("drain.graceSeconds", 0),
    ("drain.graceSeconds", 2.5),
    ("terminationGracePeriodSeconds", -1),
    ("probes.startupSeconds", 0),
    ("settings", {"prot": 1}),
    ("settings", {"port": 8000}),  # a value of its own
    ("settings", {"api_keys": "a:b:score"}),  # belongs into a Secret
    ("settings", {"max_candidates": 0}),
    ("settings", {"default_deadline_ms": "2s"}),
    ("settings", {"log_level": "INFO"}),
    ("settings", {"audit_texts": "plain"}),
    ("apiKeys.secret", "My Secret"),
    ("store.kind", "disk"),
    ("store.kind", "redis"),  # without an address
    ("store.redis.url", "redis://unused"),
    ("store.lmdb.claim", "unused"),
    (
        "store",
        {**values("replicas", 1)["store"], "kind": "redis", "redis": {"url": "redis://u:p@h", "secret": "", "port": 1}},
    ),
    ("store.redis.port", 0),
    ("audit.claim", "audit"),  # without a key
    ("autoscaling.mode", "vpa"),
    ("autoscaling.mode", "keda"),  # without Prometheus
    ("autoscaling.minReplicas", 0),
    ("autoscaling.backlogSeconds", 0),
    ("autoscaling.prometheus", "prometheus:9090"),
    ("autoscaling.scaleDownSeconds", 3601),
    ("podDisruptionBudget.maxUnavailable", 0),
    ("podDisruptionBudget.maxUnavailable", "50%"),
    ("networkPolicy.callers", []),  # Kubernetes would allow every peer
    ("networkPolicy.callers", [{}]),
    ("networkPolicy.callers", [{"pods": {}}]),
    ("networkPolicy.monitoring", []),
    ("serviceMonitor.interval", "15"),
    ("serviceMonitor.interval", "0s"),
    ("serviceMonitor.labels", {"app.kubernetes.io/name": "other"}),
    ("prometheusRule.p99Seconds", 0),
    ("prometheusRule.p99Seconds", 11),
    ("runAsUser", 0),
    ("podLabels", {"app.kubernetes.io/name": "other"}),
    ("podLabels", {"on": True}),
    ("nodeSelector", {"gpu": True}),
    ("tolerations", [{"effect": "Never"}]),
    ("affinity", {"pods": {}}),
    ("priorityClassName", "High"),
    ("topologySpread.whenUnsatisfiable", "Ignore"),
    ("serviceAccount.name", "a/b"),
)


@pytest.mark.parametrize(("path", "value"), BAD)
def test_a_value_that_would_not_work_is_refused(path: str, value: object) -> None:
    assert not valid(values(path, value))


def alerts() -> Iterator[dict[str, Any]]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


@pytest.fixture(scope="module")
def exported(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all series of a service that has an audit log, with the suffixes of histograms."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "key").write_bytes(b"k" * 32)
    app = create_app(settings_of(bundle, audit=folder / "log", audit_key_file=folder / "key"))
    text = app.context.metrics.render().decode()
    if app.parts.audit is not None:
        app.parts.audit.close()
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE):
        names |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"} if kind == "histogram" else {name}
    return names


def test_every_series_of_the_rules_exists(exported: set[str]) -> None:
    text = (DEPLOY / "prometheus" / "rules.yaml").read_text(encoding="utf-8")
    named = {name for line in text.splitlines() if not line.lstrip().startswith("#") for name in SERIES.findall(line)}
    assert len(named) > 10
    assert named <= exported
    assert not {"fitscore_requests", "fitscore_requests_bucket"} & exported  # a misspelt one would be found


def test_the_dashboard_is_current_and_shows_every_series_or_says_why_not(exported: set[str]) -> None:
    text = dashboard.FILE.read_text(encoding="utf-8")
    assert text == dashboard.rendered(), "run make deploy-files"
    shown = set(SERIES.findall(text))
    assert shown <= exported
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in exported}
    missing = {name for name in families if not any(each.startswith(name) for each in shown)}
    assert missing == NOT_SHOWN.keys()


@pytest.mark.parametrize("name", ["haproxy.cfg", "nginx.conf", "envoy.yaml"])
def test_a_proxy_passes_every_path_that_scores(name: str) -> None:
    text = (DEPLOY / "proxy" / name).read_text(encoding="utf-8")
    patterns = re.findall(r'regex: "([^"]+)"', text)  # Envoy's
    paths = [path for path in (*SCORING, *PATHS) if not any(re.fullmatch(each, path) for each in patterns)]
    assert [path for path in paths if not re.search(rf"(?<![\w/]){path}(?![\w/])", text)] == []


def test_the_log_of_haproxy_holds_nothing_that_a_caller_chose() -> None:
    text = (DEPLOY / "proxy" / "haproxy.cfg").read_text(encoding="ascii")
    (form,) = [line for line in text.splitlines() if "log-format" in line]
    assert not any(field in form for field in ("%r", "%HU", "%HP", "%HQ", "%hr", "%hs", "capture"))


def test_each_alert_is_graded_described_tested_and_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (DEPLOY / "prometheus").glob("rules*_test.yaml"))
    sections = re.findall(r"^## (Fitscore\w+)$", runbook, re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        name = alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert f"alertname: {name}" in tests


def test_the_compose_file_gives_settings_that_the_service_takes_and_time_to_drain() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    service = compose["services"]["fitscore"]
    server = read_settings(service["environment"]).server
    assert float(service["stop_grace_period"].removesuffix("s")) >= server.drain_delay_s + server.grace_s + 5
    (port,) = service["ports"]
    assert port == f"127.0.0.1:{server.port}:{server.port}", "without keys it must not be reached from outside"
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    assert scrape[0]["static_configs"][0]["targets"] == [f"fitscore:{server.metrics_port}"]
    for each in compose["services"].values():
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]


def test_make_test_platform_says_what_it_needs_where_it_can_install_nothing(tmp_path: Path) -> None:
    for name in ("bash", "env", "dirname", "id"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    command = ["bash", str(ROOT / "tests" / "platform" / "install.sh"), str(tmp_path)]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("test-platform: needs ")
    assert done.stderr.count("\n") == 1


def test_the_health_check_of_the_image_asks_the_port_that_is_set(
    serve_on_port: ServeOnPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (found,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", text, re.MULTILINE)
    program = json.loads(found)[2]
    monkeypatch.setenv("FITSCORE_PORT", str(serve_on_port().port))
    subprocess.run([sys.executable, "-c", program], check=True)
    monkeypatch.setenv("FITSCORE_PORT", "1")
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode != 0
