"""`make deploy-files`: write what is generated. The manifests need `helm` on the path; the rest needs nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy import values_schema
from deploy.grafana import dashboard

HERE = Path(__file__).parent
MANIFESTS = HERE / "manifests" / "fitscore.yaml"
HEADER = """\
# Rendered from deploy/helm/fitscore by `make deploy-files`; change the chart, or this copy of yours.
# kubectl apply -f fitscore.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: fitscore
  labels: {pod-security.kubernetes.io/enforce: restricted}
"""
HELM_ONLY = ("app.kubernetes.io/managed-by:", "helm.sh/chart:", "# Source:")


def manifests() -> str:
    """The chart with its usual values, without what only Helm needs."""
    command = ["helm", "template", "fitscore", str(HERE / "helm" / "fitscore"), "--namespace", "fitscore", "--no-hooks"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(HELM_ONLY)]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    values_schema.FILE.write_text(values_schema.rendered(), encoding="utf-8")
    dashboard.FILE.write_text(dashboard.rendered(), encoding="utf-8")
    MANIFESTS.write_text(manifests(), encoding="utf-8")
