"""`values.schema.json` of the Helm chart. Its `settings` come from the service's own, with their types and ranges.

`python -m deploy.values_schema` writes the file. It knows single values and choices between them. Arithmetic between
values is in the chart's templates/validate.yaml.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from service.settings import Settings

FILE = Path(__file__).parent / "helm" / "fitscore" / "values.schema.json"
Schema = dict[str, Any]

OWNED = frozenset(
    "host port metrics_port drain_delay_s grace_s bundle device gpu_run engines threads signer_file api_keys keys_file"
    " store audit audit_key_file".split()
)
"""Settings that the chart makes from values of its own, or that belong into a Secret."""
# Go's regular expressions know no lookahead.
NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
REFERENCE = r"^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?$"
FOLDER = r"^[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*$"


def group(**properties: Schema) -> Schema:
    """An object with these values and no others. A value with a default of null is not required."""
    required = [name for name, each in properties.items() if "null" not in each.get("type", ())]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def choice(*values: str) -> Schema:
    return {"enum": list(values)}


def text(pattern: str, longest: int = 253, *, empty: bool = False) -> Schema:
    return {"type": "string", "maxLength": longest, "pattern": f"^$|{pattern}" if empty else pattern}


def integer(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def number(above: float, most: float) -> Schema:
    return {"type": "number", "exclusiveMinimum": above, "maximum": most}


def strings(**rest: object) -> Schema:
    return {"type": "object", "additionalProperties": {"type": "string"}, **rest}


def a_list(items: Schema, least: int = 0) -> Schema:
    return {"type": "array", "minItems": least, "items": items}


def when(name: str, value: str, **then: Schema) -> Schema:
    """If the value `name` of a group is `value`, then its other values are as said."""
    found = {"properties": {name: {"const": value}}, "required": [name]}
    return {"if": found, "then": {"properties": then}}


BOOLEAN: Schema = {"type": "boolean"}
GIVEN: Schema = {"minLength": 1}
UNUSED: Schema = {"const": ""}
OBJECT_NAME = text(NAME, empty=True)
PORT = integer(1024, 65535)
CPU: Schema = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?$|^[1-9][0-9]*m$", "exclusiveMinimum": 0}
BYTES: Schema = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]*[1-9][0-9]*(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$",
    "minimum": 1,
}
PULL = choice("Always", "IfNotPresent", "Never")
SECONDS = text(r"^[1-9][0-9]{0,3}s$")
SELECTOR: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"matchLabels": strings(), "matchExpressions": {"type": "array"}},
}
PEERS = a_list(
    {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {"podSelector": SELECTOR, "namespaceSelector": SELECTOR, "ipBlock": {"type": "object"}},
    },
    least=1,  # an empty list would allow every peer
)
TOLERATIONS = a_list(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "key": {"type": "string"},
            "operator": choice("Exists", "Equal"),
            "value": {"type": "string"},
            "effect": choice("NoSchedule", "PreferNoSchedule", "NoExecute"),
            "tolerationSeconds": {"type": "integer"},
        },
    }
)
AFFINITY: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: {"type": "object"} for name in ("nodeAffinity", "podAffinity", "podAntiAffinity")},
}
COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}


def settings() -> Schema:
    """The settings of the service that the chart leaves to `settings`."""
    properties: dict[str, Schema] = {}
    for field in Settings.model_fields.values():
        for name, schema in field.annotation.model_json_schema(by_alias=True)["properties"].items():  # type: ignore[union-attr]
            if name not in OWNED:
                properties[name] = {
                    key: value for key, value in schema.items() if key not in ("title", "default", "description")
                }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def bundle() -> Schema:
    fields = group(
        source=choice("image", "volume", "oci", "init"),
        path=text(FOLDER, empty=True),
        claim=OBJECT_NAME,
        reference=text(REFERENCE, 512, empty=True),
        imageFolder=text(r"^(/[A-Za-z0-9._-]+)+$"),
        pullPolicy=PULL,
        sizeLimit=BYTES,
        signerSecret=OBJECT_NAME,
    )
    fields["allOf"] = [
        when("source", "image", path=UNUSED, claim=UNUSED, reference=UNUSED),
        when("source", "volume", path=GIVEN, claim=GIVEN, reference=UNUSED),
        when("source", "oci", path=GIVEN, claim=UNUSED, reference=GIVEN),
        when("source", "init", path=GIVEN, claim=UNUSED, reference=GIVEN),
    ]
    return fields


def store() -> Schema:
    lmdb = group(claim=OBJECT_NAME, sizeLimit=BYTES)
    redis = group(url=text(r"^rediss?://[^@\s]+$", 512, empty=True), secret=OBJECT_NAME, port=integer(1, 65535))
    fields = group(kind=choice("memory", "lmdb", "redis"), lmdb=lmdb, redis=redis)
    no_redis, no_claim = {"properties": {"url": UNUSED, "secret": UNUSED}}, {"properties": {"claim": UNUSED}}
    one_address = {
        "oneOf": [{"properties": {"url": GIVEN, "secret": UNUSED}}, {"properties": {"url": UNUSED, "secret": GIVEN}}]
    }
    fields["allOf"] = [
        when("kind", "memory", lmdb=no_claim, redis=no_redis),
        when("kind", "lmdb", redis=no_redis),
        when("kind", "redis", lmdb=no_claim, redis=one_address),
    ]
    return fields


def audit() -> Schema:
    both = {"properties": {"claim": GIVEN, "keySecret": GIVEN}}
    neither = {"properties": {"claim": UNUSED, "keySecret": UNUSED}}
    return {**group(claim=OBJECT_NAME, keySecret=OBJECT_NAME), "oneOf": [both, neither]}


def autoscaling() -> Schema:
    fields = group(
        mode=choice("none", "hpa", "keda"),
        minReplicas=integer(1, 1000),
        maxReplicas=integer(1, 1000),
        backlogSeconds={"type": "number", "minimum": 0.001, "maximum": 600},
        scaleDownSeconds=integer(0, 3600),
        prometheus=text(r"^https?://\S+$", 512, empty=True),
    )
    fields["allOf"] = [when("mode", "keda", prometheus=GIVEN)]
    return fields


def schema() -> Schema:
    """The whole schema."""
    own_labels = {"propertyNames": {"not": {"pattern": "^(app\\.kubernetes\\.io|helm\\.sh)/"}}}
    image = group(
        repository=text(r"^[a-z0-9][a-z0-9._:/-]*[a-z0-9]$", 512),
        tag={**text(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", 128), "not": {"const": "latest"}},
        digest=text(r"^sha256:[0-9a-f]{64}$", empty=True),
        pullPolicy=PULL,
        pullSecrets=a_list(text(NAME)),
    )
    gpu = group(
        resource=text(r"^[a-z0-9.-]+/[a-z0-9.-]+$"),
        runtimeClassName=OBJECT_NAME,
        run=choice("plain", "bound", "graphs", "tensorrt"),
        enginesSizeLimit=BYTES,
    )
    requests = group(cpu=CPU, memory=BYTES)
    limits = {**group(cpu=CPU, memory=BYTES), "required": ["memory"]}
    values = group(
        image=image,
        nameOverride=text(LABEL, 40, empty=True),
        fullnameOverride=text(LABEL, 55, empty=True),
        replicas=integer(1, 1000),
        bundle=bundle(),
        device=choice("cpu", "cuda"),
        threads=integer(1, 1024),
        gpu=gpu,
        resources=group(requests=requests, limits=limits),
        listenAddress=choice("0.0.0.0", "::"),
        port=PORT,
        metricsPort=PORT,
        service=group(
            type=choice("ClusterIP", "NodePort", "LoadBalancer"), port=integer(1, 65535), annotations=strings()
        ),
        drain=group(delaySeconds={"type": "number", "minimum": 1, "maximum": 3600}, graceSeconds=integer(1, 3600)),
        terminationGracePeriodSeconds=integer(1, 10_000),
        probes=group(startupSeconds=integer(2, 7200)),
        settings=settings(),
        apiKeys=group(secret=OBJECT_NAME),
        store=store(),
        audit=audit(),
        autoscaling=autoscaling(),
        podDisruptionBudget=group(
            enabled=BOOLEAN, maxUnavailable={**COUNT, "minimum": 1}, minAvailable={**COUNT, "minimum": 1}
        ),
        networkPolicy=group(
            enabled=BOOLEAN, callers=PEERS, monitoring=PEERS, extraEgress=a_list({"type": "object", "minProperties": 1})
        ),
        serviceMonitor=group(enabled=BOOLEAN, interval=SECONDS, scrapeTimeout=SECONDS, labels=strings(**own_labels)),
        prometheusRule=group(enabled=BOOLEAN, p99Seconds=number(0, 10), labels=strings(**own_labels)),
        serviceAccount=group(create=BOOLEAN, name=OBJECT_NAME, annotations=strings()),
        runAsUser=integer(1, 2**31 - 1),
        podAnnotations=strings(),
        podLabels=strings(**own_labels),
        nodeSelector=strings(),
        tolerations=TOLERATIONS,
        affinity=AFFINITY,
        priorityClassName=OBJECT_NAME,
        topologySpread=group(enabled=BOOLEAN, whenUnsatisfiable=choice("ScheduleAnyway", "DoNotSchedule")),
    )
    values["properties"]["global"] = {"type": "object"}  # Helm passes it to every chart
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of Fitscore", **values}


def rendered() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
