"""Who may import whom: the table of the architecture, held against every file.

Read from the source, so an import inside a function, or of a module that is not installed, counts as well.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "service", "training")


@dataclass(frozen=True)
class Rule:
    """Files under `where` may import the standard library and what `may` names, no more."""

    where: str
    may: frozenset[str]


def rule(where: str, may: str) -> Rule:
    return Rule(where, frozenset(may.split()))


# The longest `where` that fits a file is its rule.
RULES = (
    rule("models", "models numpy pydantic tokenizers onnxruntime"),
    rule("models.signature", "models.errors cryptography"),
    rule("models.environment", "models.errors models.soundness lmdb"),
    rule("models.soundness", "lmdb"),
    rule("models.slot_file", "models.environment models.errors models.slots"),
    rule(
        "service",
        "service models fastapi starlette uvicorn uvloop httptools pydantic prometheus_client orjson"
        " cachetools moka_py lmdb redis numpy cryptography",
    ),
    rule("service.audit.record", "models.text orjson"),
    rule("service.audit.segments", "service.audit.record"),
    rule("service.pace", ""),
    rule("service.cost", "service.pace"),
    rule("service.verdict", ""),
    rule("service.work", "service.cost"),
    rule("service.queue", "service.work service.cost"),
    rule("service.runs", "service.work"),
    rule("service.lanes", "service.work service.cost models numpy"),
    rule("service.admission", "service.work service.cost service.queue"),
    rule(
        "training",
        "training models torch safetensors transformers accelerate peft polars pyarrow onnx onnxscript onnxruntime"
        " numpy pydantic tokenizers bm25s tqdm markdown_it yaml openai httpx2 aiolimiter tensorrt_rtx_bindings"
        " matplotlib jinja2 markupsafe",
    ),
    rule("training.engines", "ray"),
    rule("training.losses", "torch numpy"),
    rule("training.ranking", "torch numpy"),
    rule("training.raters", "training.ranking training.policy numpy"),
)
# Pure numbers in, numbers out: part of the standard library is out of bounds too.
NO_FILES_NO_NETWORK = ("training.losses", "training.ranking")
OUTSIDE_WORLD = frozenset("os io pathlib shutil tempfile socket ssl http urllib asyncio subprocess".split())


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def rule_of(module: str) -> Rule:
    return max((each for each in RULES if within(module, each.where)), key=lambda each: len(each.where))


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Every module that the source names, dotted as far as it goes: `from a import b` counts as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{each.name}" for each in node.names)


def allowed(name: str, module: str) -> bool:
    top = name.split(".")[0]
    if top == "__future__":
        return True
    if module in NO_FILES_NO_NETWORK and top in OUTSIDE_WORLD:
        return False
    return top in sys.stdlib_module_names or any(within(name, each) for each in rule_of(module).may)


def offences(root: Path) -> list[str]:
    """`module imports name`, for each import under `root` that the rules do not allow."""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            tree = ast.parse(path.read_text(), str(path))
            names = sorted(set(imports(tree, module if is_package else ".".join(parts[:-1]))))
            found += [f"{module} imports {name}" for name in names if not allowed(name, module)]
    return found


def test_every_import_is_one_that_the_architecture_allows() -> None:
    assert offences(ROOT) == []


def test_the_check_reads_all_three_packages() -> None:
    assert all(any((ROOT / package).glob("*.py")) for package in PACKAGES)


def plant(root: Path, file: str, source: str) -> None:
    path = root / file
    path.parent.mkdir(parents=True)
    path.write_text(source)


@pytest.mark.parametrize(
    ("file", "source", "name"),
    [
        ("models/cross.py", "import torch", "torch"),
        ("models/text.py", "from service import work", "service.work"),
        ("models/bundle.py", "from training.store import read", "training.store.read"),
        ("service/app.py", "def late():\n    import transformers.models", "transformers.models"),
        ("service/app.py", "from training import store", "training.store"),
        ("service/queue.py", "import numpy as np", "numpy"),
        ("service/queue.py", "from service.engine import Engine", "service.engine.Engine"),
        ("service/work.py", "from service.queue import WorkQueue", "service.queue.WorkQueue"),
        ("service/work.py", "from . import queue", "service.queue"),
        ("service/admission.py", "from models.text import Pair", "models.text.Pair"),
        ("training/distill.py", "import fastapi", "fastapi"),
        ("training/annotate.py", "import ray", "ray"),
        ("training/sources/jobs.py", "from service.schemas import Pair", "service.schemas.Pair"),
        ("training/losses.py", "from training.data import Rows", "training.data.Rows"),
        ("training/ranking.py", "from pathlib import Path", "pathlib.Path"),
    ],
)
def test_a_planted_import_against_the_rules_is_reported(tmp_path: Path, file: str, source: str, name: str) -> None:
    plant(tmp_path, file, source)
    module = file.removesuffix(".py").replace("/", ".")
    assert offences(tmp_path) == [f"{module} imports {name}"]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("service/queue.py", "import heapq\nfrom service.cost import CostTable\nfrom . import work"),
        ("service/engine.py", "from models.scorer import Scorer\nimport numpy as np"),
        ("training/sources/jobs.py", "from ..store import write\nimport polars as pl"),
        ("training/losses.py", "import math\nimport torch.nn.functional as F"),
    ],
)
def test_an_import_that_the_rules_allow_is_not_reported(tmp_path: Path, file: str, source: str) -> None:
    plant(tmp_path, file, source)
    assert offences(tmp_path) == []
