"""What each room may import, one row a room: a room imports rooms on lower floors only, and none on its own floor.

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
class Room:
    """A package, or a module at a package's root: its floor, and what it may import from outside the repository.

    `sees` limits which rooms below it may import; empty: all of them.
    """

    name: str
    floor: int
    outside: frozenset[str]
    sees: frozenset[str]


def room(name: str, floor: int, outside: str = "", *, sees: str = "") -> Room:
    return Room(name, floor, frozenset(outside.split()), frozenset(sees.split()))


NONE = "nothing"
ROOMS = (
    room("models.errors", 0),
    room("models.template", 1, "pydantic"),
    room("models.text", 2, "numpy tokenizers"),
    room("models.heads", 1, "numpy pydantic"),
    room("models.tables", 2, "polars"),
    room("models.features", 1, "numpy pydantic"),
    room("models.bundle", 2, "pydantic cryptography"),
    room("models.slots", 2, "numpy lmdb"),
    room("models.runtime", 3, "numpy onnxruntime"),
    room("models.scorers", 4, "numpy"),
    room("models.audit", 2, "orjson cryptography"),
    room("models.loading", 5, "numpy"),
    room("models.bulk", 6, "numpy polars tqdm ray"),
    room("models.__main__", 7),
    room("service.errors", 0),
    room("service.request", 0, "models"),
    room("service.cpu_quota", 0),
    room("service.settings", 1, "pydantic"),
    room("service.observability", 0, "prometheus_client opentelemetry"),
    room("service.batching", 1, sees=NONE),
    room("service.playground", 1, "starlette", sees=NONE),
    room("service.registry", 2, "models numpy pydantic"),
    room("service.store", 2, "models numpy orjson cachetools moka_py lmdb redis prometheus_client"),
    room("service.admission", 3, "models cachetools"),
    room(
        "service.encoding",
        3,
        "models numpy cachetools moka_py",
        sees="service.registry service.batching service.store.interface service.errors service.request"
        " service.observability",
    ),
    room("service.scoring", 4, "models numpy prometheus_client"),
    room("service.rollout", 5, "models numpy orjson prometheus_client"),
    room("service.audit", 5, "models numpy orjson cryptography"),
    room("service.lifecycle", 6, "models"),
    room("service.products", 6, "models prometheus_client"),
    room("service.http", 7, "models fastapi starlette uvicorn uvloop httptools pydantic orjson numpy"),
    room("service.app", 8, "models fastapi starlette"),
    room("service.__main__", 9, "models uvicorn uvloop"),
    room("training.errors", 0, "models"),
    room("training.files", 0),
    room("training.fingerprint", 1),
    room("training.policy", 1, "markdown_it yaml pydantic"),
    room("training.data", 2, "models numpy polars pyarrow"),
    room("training.metrics", 3, "models numpy"),
    room("training.tracking", 2, "models mlflow tensorboard"),
    room("training.trainer", 3, "torch accelerate numpy tqdm"),
    room("training.judging", 4, "models numpy polars pydantic openai httpx2 aiolimiter tqdm"),
    room("training.nets", 4, "models torch transformers safetensors peft tokenizers numpy pydantic tqdm"),
    room("training.objectives", 5, "models torch safetensors numpy polars tqdm"),
    room("training.sources", 5, "models numpy polars"),
    room("training.recipe", 6, "models"),
    room(
        "training.evaluation",
        7,
        "models pydantic torch transformers numpy polars bm25s matplotlib jinja2 markupsafe tqdm",
    ),
    room(
        "training.compression",
        8,
        "models torch transformers onnx onnxscript onnxruntime numpy polars tensorrt_rtx_bindings tqdm",
    ),
    room("training.distillation", 8, "models torch numpy polars"),
    room("training.steps", 9, "models torch numpy polars tqdm"),
    room("training.step_runner", 7, "models torch"),
    room("training.recipes", 10, "models polars"),
    room("training.dag", 11, "models polars"),
    room("training.prompting", 11, "models torch transformers numpy polars tqdm"),
    room("training.product", 12, "models polars numpy pydantic tokenizers torch transformers jinja2"),
    room("training.promotion", 13, "models numpy httpx2 prometheus_client"),
    room("training.counterfactual", 13, "models numpy"),
    room("training.__main__", 14, "models torch transformers"),
)
# Pure numbers in, numbers out: part of the standard library is out of bounds too.
NO_FILES_NO_NETWORK = ("training.objectives.losses", "training.metrics")
OUTSIDE_WORLD = frozenset("os io pathlib shutil tempfile socket ssl http urllib asyncio subprocess".split())


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def room_of(module: str) -> Room | None:
    """The room of a module of ours; None outside the repository, and for a package's own `__init__`."""
    return next((each for each in ROOMS if within(module, each.name)), None)


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
    if any(within(module, each) for each in NO_FILES_NO_NETWORK) and top in OUTSIDE_WORLD:
        return False
    if top in sys.stdlib_module_names:
        return True
    here, there = room_of(module), room_of(name)
    if here is None:
        return False
    if there is None or there.name.split(".")[0] not in (here.name.split(".")[0], "models"):
        return top in here.outside
    if there.name.split(".")[0] != here.name.split(".")[0]:
        return "models" in here.outside
    below = there.floor < here.floor and (not here.sees or any(within(name, each) for each in here.sees))
    return there is here or below


def offences(root: Path) -> list[str]:
    """`module imports name`, for each import under `root` that the table does not allow."""
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


def test_every_import_is_one_that_the_table_allows() -> None:
    assert offences(ROOT) == []


def test_the_check_reads_all_three_packages() -> None:
    assert all(any((ROOT / package).glob("*.py")) for package in PACKAGES)


def test_every_room_of_the_table_exists() -> None:
    places = [ROOT.joinpath(*each.name.split(".")) for each in ROOMS]
    missing = [str(place) for place in places if not place.is_dir() and not place.with_suffix(".py").is_file()]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_few_files_at_its_root_and_in_each_room(package: str) -> None:
    for folder in (ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())):
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        most = 8 if folder == ROOT / package else 13
        assert len(files) <= most, f"{folder.relative_to(ROOT)} has {len(files)} files: {sorted(files)}"


def plant(root: Path, file: str, source: str) -> None:
    path = root / file
    path.parent.mkdir(parents=True)
    path.write_text(source)


@pytest.mark.parametrize(
    ("file", "source", "name"),
    [
        ("models/scorers/split.py", "import torch", "torch"),
        ("models/text.py", "from service.batching import jobs", "service.batching.jobs"),
        ("models/bundle/files.py", "import onnxruntime", "onnxruntime"),
        ("models/bundle/files.py", "from training.nets.checkpoints import read", "training.nets.checkpoints.read"),
        ("service/app.py", "def late():\n    import transformers.models", "transformers.models"),
        ("service/app.py", "from training import recipe", "training.recipe"),
        ("service/batching/jobs.py", "import numpy as np", "numpy"),
        ("service/batching/jobs.py", "from models.text import Pair", "models.text.Pair"),
        ("service/batching/jobs.py", "from service.errors import Overloaded", "service.errors.Overloaded"),
        ("service/registry/loading.py", "from service.store.factory import Store", "service.store.factory.Store"),
        ("service/encoding/lookup.py", "from service.store.codec import pack", "service.store.codec.pack"),
        ("service/encoding/lookup.py", "from service.admission.quotas import Q", "service.admission.quotas.Q"),
        ("service/rollout/router.py", "from starlette.types import Send", "starlette.types.Send"),
        ("service/scoring/pipeline.py", "from ..http import context", "service.http.context"),
        ("service/errors.py", "from starlette.responses import Response", "starlette.responses.Response"),
        ("service/newroom/file.py", "from service.errors import Overloaded", "service.errors.Overloaded"),
        ("training/steps/distill.py", "import fastapi", "fastapi"),
        ("training/steps/annotate.py", "import ray", "ray"),
        ("training/nets/items.py", "from training.objectives import losses", "training.objectives.losses"),
        ("training/sources/jobs.py", "from service.http.schemas import Pair", "service.http.schemas.Pair"),
        ("training/objectives/losses.py", "from pathlib import Path", "pathlib.Path"),
        ("training/metrics/ranking.py", "import torch", "torch"),
    ],
)
def test_a_planted_import_against_the_table_is_reported(tmp_path: Path, file: str, source: str, name: str) -> None:
    plant(tmp_path, file, source)
    module = file.removesuffix(".py").replace("/", ".")
    assert offences(tmp_path) == [f"{module} imports {name}"]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "service/batching/deadline_queue.py",
            "import heapq\nfrom service.batching import jobs\nfrom . import packing",
        ),
        ("service/registry/operations.py", "from models.scorers.interface import Scorer\nimport numpy as np"),
        ("service/encoding/lookup.py", "from service.store.interface import TextStore"),
        ("training/sources/jobs.py", "from ..data import lists\nimport polars as pl"),
        ("training/objectives/losses.py", "import math\nimport torch.nn.functional as F"),
    ],
)
def test_an_import_that_the_table_allows_is_not_reported(tmp_path: Path, file: str, source: str) -> None:
    plant(tmp_path, file, source)
    assert offences(tmp_path) == []
