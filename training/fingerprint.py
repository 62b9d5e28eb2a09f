"""What decides a step's output, as digests: its plan's values, and all code of this repository that it can reach.

Code is followed by name: a function, the definitions that it names, those that they name, and so on, through imports.
Comments, docstrings and layout do not count. Not followed: names looked up at run time (`getattr` on a module,
`import_module`), functions that register themselves in another module, and libraries, whose versions are recorded.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from training.files import digest

OURS = {"models", "training", "load_tests", "tests"}
"""The repository's own packages."""
FILES: dict[str, Path] = {}
"""Modules of files outside of it, recipes of one's own: they count as the repository's code does."""
WHOLE = "*"
"""In place of a name: all that a module defines."""


@dataclasses.dataclass(frozen=True, order=True)
class Definition:
    """A name at the top level of a module; WHOLE means all of them."""

    module: str
    name: str


def hash_json(value: object) -> str:
    """SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def describe(value: object) -> object:
    """A plan as JSON: a function by the code that it reaches, a path by its bytes. Raises TypeError otherwise."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [describe(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(describe(each)) for each in value)
    if isinstance(value, dict):
        return {str(key): describe(each) for key, each in value.items()}
    if isinstance(value, Path):
        return digest(value)
    if isinstance(value, functools.partial):
        return [describe(value.func), describe(value.args), describe(value.keywords)]
    if hasattr(value, "model_dump"):
        return describe(value.model_dump(mode="json"))
    if isinstance(value, FunctionType):
        held = [describe(cell.cell_contents) for cell in value.__closure__ or ()]
        return [value.__qualname__, code_digest(value), held]
    raise TypeError(f"a plan cannot hold {value!r}: nothing says what of it counts")


def code_digest(function: Callable[..., Any]) -> str:
    """SHA-256 of a function of ours and of every definition of ours that it reaches. Raises NameError for a gap."""
    return hash_json(reached(function))


def reached(function: Callable[..., Any]) -> dict[str, list[str]]:
    """The syntax of each definition of ours that the function reaches, by `module:name`."""
    # A function within a function counts by the outermost one, a lambda outside of functions by its whole module.
    outermost = function.__qualname__.split(".")[0]
    waiting = [Definition(_module_name(function), WHOLE if outermost == "<lambda>" else outermost)]
    found: dict[str, list[str]] = {}
    while waiting:
        wanted = waiting.pop()
        key = f"{wanted.module}:{wanted.name}"
        if key not in found:
            module = read_module(wanted.module)
            nodes = module.nodes(wanted.name)
            found[key] = [ast.dump(each) for each in nodes]
            found[f"{wanted.module}:files"] = module.files_beside
            waiting += [used for each in nodes for used in module.uses(each)]
            waiting += module.imported[wanted.name]
    return found


class _Module:
    """The syntax of one module: what its top level defines, and what its imports refer to."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.files_beside = [digest(each) for each in sorted(path.parent.glob(f"{path.stem}.*")) if each != path]
        self._tree: ast.Module = _WithoutDocstrings().visit(ast.parse(path.read_bytes(), str(path)))
        self._defined = defaultdict[str, list[ast.stmt]](list)
        self._rest: list[ast.stmt] = []
        for node in self._tree.body:
            names = list(_defined_by(node))
            for defined in names:
                self._defined[defined].append(node)
            if not names and not isinstance(node, (ast.Import, ast.ImportFrom)):
                self._rest.append(node)
        for node in self._tree.body:
            for decorator in getattr(node, "decorator_list", ()):
                for each in ast.walk(decorator):  # `@f.register` adds to the definition of `f`
                    if isinstance(each, ast.Name) and each.id in self._defined:
                        self._defined[each.id].append(node)
        package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
        self.imported = defaultdict[str, list[Definition]](list)
        for inner in ast.walk(self._tree):
            for local, definition in _imports(inner, package):
                self.imported[local].append(definition)

    def nodes(self, name: str) -> list[ast.stmt]:
        """What runs to define the name, and what the module does on import besides."""
        if name == WHOLE:
            return self._tree.body
        if name not in self._defined and name not in self.imported:
            raise NameError(f"{self.name} does not define {name}: the code behind it cannot be followed")
        return [*self._defined[name], *self._rest]

    def uses(self, node: ast.AST) -> Iterator[Definition]:
        """The definitions of ours that code names, of this module and of those that it imports."""
        attributes = {id(each.value): each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                if each.id in self._defined:
                    yield Definition(self.name, each.id)
                for found in self.imported.get(each.id, ()):
                    is_module = found.name == WHOLE
                    yield Definition(found.module, attributes.get(id(each), WHOLE)) if is_module else found


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops each text that is a statement of its own: a docstring, or what describes a field."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def _defined_by(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of the top level binds, imports aside."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    loops = (each.target for each in ast.walk(node) if isinstance(each, ast.comprehension))
    inner = {id(name) for target in loops for name in ast.walk(target)}  # bound within a comprehension only
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and id(each) not in inner:
            yield each.id
        elif isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield each.name


def _imports(node: ast.AST, package: list[str]) -> Iterator[tuple[str, Definition]]:
    """Local names, and the definitions of ours that they refer to."""
    if isinstance(node, ast.Import):
        for each in node.names:
            if _is_ours(each.name):
                yield each.asname or each.name.split(".")[0], Definition(each.name, WHOLE)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        if _is_ours(base):
            for each in node.names:
                whole = f"{base}.{each.name}"
                definition = Definition(whole, WHOLE) if _path_of(whole) else Definition(base, each.name)
                yield each.asname or each.name, definition


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in OURS or module in FILES


def _module_name(function: Callable[..., Any]) -> str:
    """Its own name also where the module runs as `__main__`."""
    spec = getattr(sys.modules.get(function.__module__), "__spec__", None)
    name: str = spec.name if spec else function.__module__
    if not _is_ours(name):
        raise TypeError(f"a plan cannot hold {function!r}: its code is not of this repository")
    return name


@functools.cache
def read_module(module: str) -> _Module:
    """Read once a process: a file that is edited while a run goes on does not count for its later steps alone."""
    path = _path_of(module)
    if path is None:
        raise NameError(f"there is no source file of the module {module}")
    return _Module(module, path)


def _path_of(module: str) -> Path | None:
    """The source file of a module of ours, found without importing it; None where the name is no module."""
    if module in FILES:
        return FILES[module]
    package, *names = module.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    place = Path(next(iter(spec.submodule_search_locations))).joinpath(*names)
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((each for each in candidates if each.is_file()), None)


def commit() -> str:
    """The commit of the working folder's repository; `unknown` outside one."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
