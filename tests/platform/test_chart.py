"""The Helm chart: every feature lints, renders and is valid for Kubernetes; values that cannot work are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from deploy.__main__ import MANIFESTS, manifests
from service.settings import NAMES, PREFIX, read_settings
from tests.platform.helm import (
    CHART,
    FEATURES,
    NODE,
    ROOT,
    Document,
    Values,
    container,
    helm,
    rendered,
    template,
    the,
    written,
)
from tests.platform.programs import free_ports
from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import process
from tests.support.waiting import PATIENCE_S

VERSIONS = ("1.30", "1.33", "1.37")
CUSTOM = ("ServiceMonitor", "PrometheusRule", "ScaledObject")
IMAGE_VOLUME = "1.33"


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_lints_strictly(feature: str, tmp_path: Path) -> None:
    arguments = ("--strict", str(CHART), "-f", written(FEATURES[feature], tmp_path), "--kube-version", "1.37.0")
    done = helm("lint", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def validate(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = ["kubernetes-validate", "--strict", "-k", version, *map(str, sorted(folder.glob("*.yaml")))]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_all(version: str, folder: Path) -> int:
    """Write what each feature renders for a version of Kubernetes, without custom resources; the number of objects."""
    count = 0
    (folder / "rendered").mkdir()
    for name, values in FEATURES.items():
        if name == "oci" and version < IMAGE_VOLUME:
            continue
        documents = rendered(values, folder, "--kube-version", f"{version}.0")
        builtin = [each for each in documents if each["kind"] not in CUSTOM]
        (folder / "rendered" / f"{name}.yaml").write_text(yaml.safe_dump_all(builtin), encoding="utf-8")
        count += len(builtin)
    return count


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_is_valid_for_a_version_of_kubernetes(version: str, tmp_path: Path) -> None:
    count = write_all(version, tmp_path)
    done = validate(tmp_path / "rendered", version)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr  # of a kind that it does not know
    assert count > 100


def test_a_misspelt_field_is_not_valid(tmp_path: Path) -> None:
    documents = rendered({}, tmp_path)
    budget = the("PodDisruptionBudget", documents)["spec"]
    budget["maxUnavailabl"] = budget.pop("maxUnavailable")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "all.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    assert validate(tmp_path / "bad", "1.37").returncode != 0


def validate_custom(documents: list[Document]) -> subprocess.CompletedProcess[str]:
    script = (Path(__file__).parent / "crds.mjs").read_text(encoding="utf-8")
    command = ["node", "--input-type=module", "--eval", script]  # so it finds the packages of its working directory
    given = json.dumps(documents)
    return subprocess.run(command, input=given, cwd=NODE, capture_output=True, text=True, check=False)


def custom_resources(folder: Path) -> list[Document]:
    documents = [each for name in ("monitored", "keda", "hpa") for each in rendered(FEATURES[name], folder)]
    return [each for each in documents if each["kind"] in (*CUSTOM, "HorizontalPodAutoscaler")]


def test_custom_resources_are_valid(tmp_path: Path) -> None:
    done = validate_custom(custom_resources(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (0, "4"), done.stderr


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [("ScaledObject", "triggers", None), ("ServiceMonitor", "endpoints", "all"), ("PrometheusRule", "groups", [{}])],
)
def test_a_spoilt_custom_resource_is_not_valid(kind: str, field: str, value: object, tmp_path: Path) -> None:
    spoilt = the(kind, custom_resources(tmp_path))
    spoilt["spec"][field] = value
    if value is None:
        del spoilt["spec"][field]
    assert validate_custom([spoilt]).returncode != 0


def checkov(folder: Path, *skipped: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.prefix) / "checkov" / "bin" / "checkov"),
        "--directory",
        str(folder),
        "--compact",
        "--quiet",
    ]
    command += ["--framework", "kubernetes", *(("--skip-check", ",".join(skipped)) if skipped else ())]
    offline = {**os.environ, "CKV_IGNORE_HIDDEN_DIRECTORIES": "true", "LOG_LEVEL": "ERROR"}
    return subprocess.run(command, capture_output=True, text=True, env=offline, check=False)


# The pod of `helm test` has three of its own, as annotations.
EXCEPTIONS = {
    "CKV_K8S_11": "no limit of CPU: the kernel's throttling would show as latency; requests and threads bound it",
    "CKV_K8S_43": "the example names a tag; `image.digest` is there for a registry",
    "CKV_K8S_15": "IfNotPresent: tags are not moved, and `latest` is refused",
    "CKV_K8S_35": "the URL of Redis is a setting, and settings are environment variables",
}


def test_checkov_finds_nothing_but_the_exceptions(tmp_path: Path) -> None:
    write_all("1.37", tmp_path)
    done = checkov(tmp_path / "rendered", *EXCEPTIONS)
    assert done.returncode == 0, done.stdout


def test_checkov_finds_a_writable_root(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    text = template({}, tmp_path).stdout.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
    (tmp_path / "bad" / "all.yaml").write_text(text, encoding="utf-8")
    done = checkov(tmp_path / "bad", *EXCEPTIONS)
    assert "CKV_K8S_22" in done.stdout


TOGETHER: dict[str, tuple[Values, str]] = {
    "grace below drain": ({"drain": {"graceSeconds": 33}}, "terminationGracePeriodSeconds is 45"),
    "long delay": ({"drain": {"delaySeconds": 10.5}}, "at least drain.delaySeconds + drain.graceSeconds + 5 = 45.5"),
    "one port twice": ({"metricsPort": 8000}, "port and metricsPort are equal"),
    "memory above limit": ({"resources": {"requests": {"memory": "3Gi"}}}, "resources.requests.memory is above"),
    "mixed units": ({"resources": {"requests": {"memory": "2049Mi"}}}, "resources.requests.memory is above"),
    "cpu above limit": ({"resources": {"limits": {"cpu": "2500m"}}}, "resources.requests.cpu is above"),
    "threads without cores": ({"threads": 4}, "threads is 4 with 3 of CPU"),
    "caches over memory": ({"settings": {"slots_bytes": 2147483648}}, "more than resources.limits.memory"),
    "exposed without keys": ({"service": {"type": "NodePort"}}, "without keys every caller may swap models"),
    "two budgets": ({"podDisruptionBudget": {"minAvailable": 1}}, "set one of minAvailable and maxUnavailable"),
    "budget of all": (
        {"podDisruptionBudget": {"minAvailable": 2, "maxUnavailable": None}},
        "no node could be drained",
    ),
    "more than most": ({"autoscaling": {"mode": "hpa", "minReplicas": 11}}, "minReplicas is above"),
    "target over deadline": (
        {"autoscaling": {"mode": "hpa", "backlogSeconds": 2.5}, "settings": {"default_deadline_ms": 2000}},
        "above the default deadline of 2 s",
    ),
    "one LMDB for two": ({"store": {"kind": "lmdb", "lmdb": {"claim": "c"}}}, "belongs to one machine"),
    "LMDB over its volume": ({"store": {"kind": "lmdb", "lmdb": {"sizeLimit": "8G"}}}, "so the pod would be evicted"),
    "cuda without its image": ({"device": "cuda"}, "image.tag cpu"),
    "timeout over interval": (
        {"serviceMonitor": {"interval": "5s"}},
        "serviceMonitor.scrapeTimeout is above serviceMonitor.interval",
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_values_that_do_not_fit_together_are_refused(name: str, tmp_path: Path) -> None:
    values, sentence = TOGETHER[name]
    done = template(values, tmp_path)
    assert done.returncode != 0, done.stdout
    assert sentence in done.stderr


def test_without_its_template_the_relation_is_not_checked(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "fitscore")
    (tmp_path / "fitscore" / "templates" / "validate.yaml").unlink()
    assert template({"drain": {"graceSeconds": 33}}, tmp_path, chart=tmp_path / "fitscore").returncode == 0


def test_an_image_volume_is_refused_where_kubernetes_has_none(tmp_path: Path) -> None:
    done = template(FEATURES["oci"], tmp_path, "--kube-version", "1.32.0")
    assert "bundle.source oci needs Kubernetes 1.33" in done.stderr


def test_a_single_bad_value_is_refused_by_the_schema(tmp_path: Path) -> None:
    done = template({"settings": {"prot": 1}}, tmp_path)
    assert done.returncode != 0
    assert "prot" in done.stderr


def environment(documents: list[Document]) -> dict[str, str]:
    """The container's variables that have a plain value."""
    return {each["name"]: each["value"] for each in container(documents)["env"] if "value" in each}


@pytest.mark.parametrize("feature", FEATURES)
def test_the_service_knows_every_variable_of_the_container(feature: str, tmp_path: Path) -> None:
    documents = rendered(FEATURES[feature], tmp_path)
    names = {each["name"] for each in container(documents)["env"]} - {"POD_NAME"}
    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(NAMES)
    read_settings(environment(documents))


def test_numbers_reach_the_service_as_they_were_given(tmp_path: Path) -> None:
    read = read_settings(environment(rendered(FEATURES["settings"], tmp_path)))
    assert read.limits.max_body_bytes == 2097152
    assert read.limits.default_deadline_ms == 2000
    assert read.rollout.drift == 0.1
    assert read.access.quota_pairs_per_s == 1e9


def test_the_rules_of_the_chart_are_the_rules_of_prometheus(tmp_path: Path) -> None:
    groups = the("PrometheusRule", rendered(FEATURES["monitored"], tmp_path))["spec"]["groups"]
    shipped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    text = json.dumps(shipped).replace('"vector(1)"', '"vector(0.25)"')
    assert groups == json.loads(text)


def test_the_chart_can_be_packaged(tmp_path: Path) -> None:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    packed = template_of(next(tmp_path.glob("*.tgz")), tmp_path)
    assert "FitscoreDown" in packed


def template_of(package: Path, folder: Path) -> str:
    done = helm("template", "fs", str(package), "-f", written(FEATURES["monitored"], folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_manifests_are_current_and_valid(tmp_path: Path) -> None:
    text = MANIFESTS.read_text(encoding="utf-8")
    assert text == manifests(), "run make deploy-files"
    (tmp_path / "all.yaml").write_text(text, encoding="utf-8")
    done = validate(tmp_path, "1.37")
    assert done.returncode == 0, done.stdout + done.stderr


def test_probes_and_ports_of_the_chart_are_those_of_the_service(bundle: Path, tmp_path: Path) -> None:
    """The container's variables start the real service, on other ports and this machine's loopback."""
    ports = dict(zip(("port", "metricsPort"), free_ports(2), strict=True))
    documents = rendered({**ports, "settings": {"hosts": "scores.example.org"}}, tmp_path)
    variables = {name.removeprefix(PREFIX): value for name, value in environment(documents).items()}
    variables |= {"HOST": "127.0.0.1", "BUNDLE": str(bundle), "THREADS": "1"}
    pod = container(documents)
    numbers = {each["name"]: each["containerPort"] for each in pod["ports"]}
    with process(**variables):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = pod[probe]["httpGet"]
            url = f"http://127.0.0.1:{numbers[asked['port']]}{asked['path']}"
            assert httpx.get(url, timeout=PATIENCE_S).status_code == 200, probe
        services = [each["spec"]["ports"][0] for each in documents if each["kind"] == "Service"]
        callers, metrics = (f"http://127.0.0.1:{numbers[each['targetPort']]}" for each in services)
        body = {"member": MEMBER, "candidates": CANDIDATES}
        host = {"Host": "scores.example.org"}
        assert httpx.post(f"{callers}/score", json=body, headers=host, timeout=PATIENCE_S).status_code == 200
        assert httpx.get(f"{callers}/metrics", headers=host, timeout=PATIENCE_S).status_code == 404
        assert "fitscore_ready 1.0" in httpx.get(f"{metrics}/metrics", timeout=PATIENCE_S).text
        assert httpx.post(f"{metrics}/score", json=body, timeout=PATIENCE_S).status_code == 404


def test_the_pod_of_helm_test_scores_at_the_real_service(bundle: Path, tmp_path: Path) -> None:
    (ask,) = the("Pod", rendered({}, tmp_path))["spec"]["containers"]
    program = ask["args"][0]
    with process(BUNDLE=str(bundle)) as (_, client):
        address = str(client.base_url).rstrip("/")
        done = subprocess.run([sys.executable, "-c", program, address], capture_output=True, text=True, check=False)
        assert '"scored"' in done.stdout, done.stderr
    done = subprocess.run([sys.executable, "-c", program, address], capture_output=True, text=True, check=False)
    assert done.returncode != 0  # nothing answers there any more
