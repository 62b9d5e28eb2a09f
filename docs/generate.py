"""The pages that come from the code: settings, metrics, HTTP API, rooms, dated results, model cards.

A hook of mkdocs, so nothing here is copied by hand and nothing generated is committed.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # MkDocs loads this file from its path, so the repository's packages are not importable

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402
from starlette.types import ASGIApp, Message  # noqa: E402

from service.app import create_app  # noqa: E402
from service.settings import PREFIX, Settings  # noqa: E402

RESULTS = ROOT / "load_tests" / "results"
PACKAGES = ("service", "training", "models")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every page of results into the navigation."""
    assert config.nav is not None
    results = next(each["Results"] for each in config.nav if "Results" in each)
    results.append({"How each number is made": "results/method.md"})
    written = (ROOT / "docs" / "results").glob("20*.md")
    dated = sorted([*_dated(), *written], key=lambda path: path.name, reverse=True)
    results += [{_name(path): f"results/{path.stem}.md"} for path in dated]
    results += [{f"Card of {path.parent.name}": f"results/card-{path.parent.name}.md"} for path in _cards()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for uri, content in pages():
        files.append(File.generated(config, uri, content=content))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Each generated page: its path below `docs/`, and its Markdown."""
    document, exposition = asyncio.run(_ask("/openapi.json", "/metrics"))
    yield "reference/configuration.md", configuration()
    yield "reference/metrics.md", metrics(exposition.decode())
    yield "reference/api.md", api(json.loads(document))
    yield "reference/rooms.md", rooms()
    yield "results/method.md", (RESULTS / "README.md").read_text(encoding="utf-8")
    for path in _dated():
        yield f"results/{path.stem}.md", _without_json(path.read_text(encoding="utf-8"))
    for path in _cards():
        title, rest = path.read_text(encoding="utf-8").split("\n", 1)
        yield f"results/card-{path.parent.name}.md", f"{title}\n{CARD_NOTE}{rest}".replace("O*NET", r"O\*NET")


WIDE = "---\nhide: [toc]\n---\n"
CARD_NOTE = """
!!! warning "Read the teacher rows with care"
    This student starts as its teacher's encoder, and the teacher reads both sides nearly apart. "Student minus teacher"
    compares two forms of one model: it says nothing about how much of a stronger teacher a student keeps.

"""


def _dated() -> list[Path]:
    return sorted(RESULTS.glob("20*.md"), reverse=True)


def _name(path: Path) -> str:
    return f"{path.stem[11:]}, {path.stem[:10]}"


def _cards() -> list[Path]:
    return sorted((ROOT / "models").glob("*/card.md"))


def _without_json(text: str) -> str:
    """The page without its JSON lines, which are for programs; the file keeps them."""
    return "\n".join(line for line in text.splitlines() if not line.startswith('{"command"')) + "\n"


async def _ask(*paths: str) -> list[bytes]:
    """The bodies that the app, not started, sends for these paths."""
    app = create_app(Settings()).guard
    return [await _get(app, path) for path in paths]


async def _get(app: ASGIApp, path: str) -> bytes:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"},
        **{"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "state": {}},
        **{"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80)},
    }
    await app(scope, receive, send)
    if sent[0]["status"] != 200:
        raise RuntimeError(f"GET {path} answers {sent[0]['status']}")
    return b"".join(message.get("body", b"") for message in sent[1:])


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _table(*header: str, rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def configuration() -> str:
    """Every setting: its environment name, default, range and meaning."""
    parts = [
        f"{WIDE}# Configuration\n",
        "Every setting is an environment variable. The service refuses to start for an unknown name or a bad value. "
        "The error names the variable.\n",
    ]
    for name, field in Settings.model_fields.items():
        group = type(field.default)
        parts.append(f"## {name.capitalize()}\n\n{group.__doc__}\n")
        parts.append(_settings(group.model_fields))
    return "\n".join(parts)


def _settings(fields: Mapping[str, FieldInfo]) -> str:
    rows = [
        (f"`{PREFIX}{(field.alias or name).upper()}`", _default(field), _range(field), field.description or "")
        for name, field in fields.items()
    ]
    return _table("variable", "default", "allowed", "meaning", rows=rows)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "cores of the machine"
    return "none" if field.default is None else f"`{field.default}`" if field.default != "" else "empty"


def _range(field: FieldInfo) -> str:
    words = [f"`{each}`" for each in get_args(field.annotation) if isinstance(each, str)]
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    for limit in field.metadata:
        words += [f"{sign} {getattr(limit, name):,.10g}" for name, sign in signs.items() if hasattr(limit, name)]
    return ", ".join(words)


def metrics(exposition: str) -> str:
    """Every series of `/metrics`: its kind, labels and meaning."""
    rows = []
    for family in text_string_to_metric_families(exposition):
        labels: dict[str, set[str]] = {}
        for sample in family.samples:
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append((f"`{name}`", family.type, family.documentation, _labels(labels)))
    return (
        f"{WIDE}# Metrics\n\nPrometheus reads these series from `GET /metrics`. Times are in seconds. No label carries "
        "anything that a caller sent.\n\n" + _table("series", "kind", "meaning", "labels", rows=sorted(rows))
    )


def _labels(labels: Mapping[str, set[str]]) -> str:
    shown = [
        f"`{name}`" if name == "le" or not all(values) else f"`{name}`: {', '.join(sorted(values))}"
        for name, values in labels.items()
        if name not in ("le", "quantile")
    ]
    return "; ".join(shown)


def api(document: Mapping[str, Any]) -> str:
    """Every route: what it does, what it takes and answers; then the schemas."""
    parts = [
        "# HTTP API\n",
        "The service describes itself at `GET /openapi.json`; this page is made from that document. Errors are "
        "`application/problem+json` with a stable `type`. They name fields and never repeat a value.\n",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(method.upper(), path, operation)
    parts.append("## Schemas\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## `{method} {path}`\n"
    yield f"{operation.get('description') or operation.get('summary', '')}\n"
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{each['name']}`", each["in"], _kind(each["schema"]), each.get("description", "")) for each in parameters
        ]
        yield _table("parameter", "in", "type", "meaning", rows=rows)
    if body := operation.get("requestBody"):
        yield f"Body: {_content(body)}\n"
    answers = [(code, _content(each), each["description"]) for code, each in sorted(operation["responses"].items())]
    yield _table("status", "body", "meaning", rows=answers)


def _content(holder: Mapping[str, Any]) -> str:
    kinds = (_kind(each["schema"]) for each in holder.get("content", {}).values() if each.get("schema"))
    return ", ".join(kinds)


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if schema.get("description"):
        yield f"{schema['description']}\n"
    if "enum" in schema:
        yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.\n"
    required = schema.get("required", [])
    rows = [
        (f"`{field}`", _kind(each), "required" if field in required else "", each.get("description", ""))
        for field, each in schema.get("properties", {}).items()
    ]
    if rows:
        yield _table("field", "type", "", "meaning", rows=rows)
    for example in schema.get("examples", []):
        yield f"```json\n{json.dumps(example, indent=2)}\n```\n"


def _kind(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words; a reference becomes a link."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{re.sub(r'[^a-z0-9_-]', '', name.lower())})"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(each) for each in choices))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "maxLength": "length at most"}
    bounds = [f"{words} {schema[key]:,}" for key, words in limits.items() if key in schema]
    return ", ".join([str(schema.get("type", "any")), *bounds])


def rooms() -> str:
    """Each room, from the docstring of its package, and the files in it."""
    parts = [
        f"{WIDE}# Rooms\n",
        "A room is a package. Imports point one way; `tests/test_imports.py` holds the table of what each room may "
        "import. The texts below are the rooms' own docstrings.\n",
    ]
    for package in PACKAGES:
        parts.append(f"## `{package}/`\n\n{_about(ROOT / package / '__init__.py')}\n")
        folders = sorted(path.parent for path in (ROOT / package).rglob("__init__.py"))
        rows = [
            (f"`{folder.relative_to(ROOT)}`", _about(folder / "__init__.py"), _files(folder))
            for folder in folders
            if folder != ROOT / package
        ]
        alone = [(f"`{path.relative_to(ROOT)}`", _about(path), "") for path in sorted((ROOT / package).glob("*.py"))]
        rows += [row for row in alone if not row[0].endswith("__init__.py`")]
        parts.append(_table("room", "what it is for", "files", rows=rows))
    return "\n".join(parts)


def _about(path: Path) -> str:
    """The first paragraph of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0]


def _files(folder: Path) -> str:
    return " ".join(f"`{path.stem}`" for path in sorted(folder.glob("*.py")) if path.name != "__init__.py")
