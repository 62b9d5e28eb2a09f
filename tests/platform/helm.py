"""Runs Helm on the chart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "fitscore"
NODE = Path(sys.prefix) / "node"
"""Where tests/platform/install.sh puts packages from npm."""
Values = dict[str, Any]
Document = dict[str, Any]

SECRET = {"secret": "made"}
FEATURES: dict[str, Values] = {
    "default": {},
    "digest": {"image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["registry"]}},
    "volume": {"bundle": {"source": "volume", "claim": "bundles", "path": "jobs-v1", "signerSecret": "signer"}},
    "oci": {"bundle": {"source": "oci", "reference": "registry.example.org/bundles:1", "path": "bundles/jobs-v1"}},
    "init": {"bundle": {"source": "init", "reference": "registry.example.org/bundles:1", "path": "jobs-v1"}},
    "gpu": {
        "device": "cuda",
        "image": {"tag": "gpu"},
        "gpu": {"runtimeClassName": "nvidia"},
        "nodeSelector": {"accelerator": "h200"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "tensorrt": {"device": "cuda", "image": {"tag": "gpu"}, "gpu": {"run": "tensorrt"}},
    "redis": {"store": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}}},
    "redis-secret": {"store": {"kind": "redis", "redis": {"secret": "redis"}}},
    "lmdb": {"store": {"kind": "lmdb"}},
    "lmdb-claim": {"replicas": 1, "store": {"kind": "lmdb", "lmdb": {"claim": "candidates"}}},
    "audit": {"audit": {"claim": "audit", "keySecret": "audit"}, "settings": {"audit_when_full": "drop"}},
    "exposed": {"apiKeys": SECRET, "service": {"type": "LoadBalancer", "annotations": {"a": "b"}}},
    "hpa": {"autoscaling": {"mode": "hpa"}},
    "keda": {"autoscaling": {"mode": "keda", "prometheus": "http://prometheus.monitoring:9090"}},
    "monitored": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "p99Seconds": 0.25},
    },
    "scheduled": {
        "podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": None},
        "priorityClassName": "high",
        "topologySpread": {"whenUnsatisfiable": "DoNotSchedule"},
        "serviceAccount": {"create": False, "name": "given"},
        "podLabels": {"team": "ranking"},
        "podAnnotations": {"note": "x"},
        "affinity": {"podAntiAffinity": {}},
    },
    "network": {"networkPolicy": {"extraEgress": [{"ports": [{"protocol": "TCP", "port": 443}]}]}},
    "settings": {
        "listenAddress": "::",
        "settings": {
            "hosts": "scores.example.org",
            "max_body_bytes": 2097152,
            "default_deadline_ms": 2000,
            "rollout_drift": 0.1,
            "quota_pairs_per_s": 1000000000,
        },
    },
}
"""Values by what they try out; each must lint, render and be valid."""


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)


def written(values: Values, folder: Path) -> str:
    """The path of a values file. JSON is YAML, and has a null."""
    path = folder / "values.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")
    return str(path)


def template(values: Values, folder: Path, *arguments: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    given = arguments or ("--kube-version", "1.37.0")
    return helm("template", "fs", str(chart), "--namespace", "ranking", "-f", written(values, folder), *given)


def rendered(values: Values, folder: Path, *arguments: str) -> list[Document]:
    done = template(values, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def the(kind: str, documents: list[Document]) -> Document:
    """The first document of a kind."""
    return next(each for each in documents if each["kind"] == kind)


def container(documents: list[Document]) -> Document:
    found: Document = the("Deployment", documents)["spec"]["template"]["spec"]["containers"][0]
    return found
