"""Words that are not to come back: the project speaks plain English to users, operators and readers of the code.

Read are docstrings, comments, sentences in string literals, names of functions, and the documents. Policy documents,
data sets, dated results and the cards of released bundles keep the words that they were written with.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each is a regular expression between word boundaries.
WORDS = (
    r"whoever|whom|whomever|nobody|anybody|somebody|whatever|anew",
    r"told|hears?|stands?",
    r"at leisure|in vain|so manieth|be it|says? of|for ever|of like length|what there is|no more to it|lets go|come by",
)
PATTERN = re.compile(rf"\b({'|'.join(WORDS)})\b".replace(" ", r"\s+"), re.IGNORECASE)
CODE = ("models", "service", "training", "load_tests", "tests", "docs", "deploy", "clients")
ENDINGS = (".py", ".md", ".j2", ".d2", ".yaml", ".java", ".go")
DOCUMENTS = (
    "*.md",
    "*.j2",
    "*.d2",
    "Makefile",
    "Dockerfile",
    "NOTICE",
    "mkdocs.yml",
    "pyproject.toml",
    "container/*",
    ".ci/*",
    "clients/*/*.java",
    "clients/*/*.go",
    "clients/*.sh",
)
EXCLUDED = re.compile(
    r"training/policy/documents/.*\.md|training/datasets/|load_tests/results/20|docs/results/20|models/[a-z]+-v\d+/"
    r"|tests/test_words\.py"
)
"""What keeps its words: judged grades, results and released bundles refer to these texts as they are."""
A_SENTENCE = 3
"""Words that make a string literal a sentence."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of all that people read in a file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), start=1)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) >= A_SENTENCE:
            yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name.replace("_", " ")


def findings(path: Path) -> list[str]:
    """`file:line: word`, for each word that is not to come back."""
    return [
        f"{path}:{line + text.count(chr(10), 0, match.start())}: {match[0]}"
        for line, text in texts(path)
        for match in PATTERN.finditer(text)
    ]


def files(root: Path) -> list[Path]:
    """Relative paths of what is read."""
    found = {path for name in CODE for end in ENDINGS for path in (root / name).rglob(f"*{end}")}
    found |= {path for pattern in DOCUMENTS for path in root.glob(pattern) if path.is_file()}
    relative = (path.relative_to(root) for path in found)
    return sorted(path for path in relative if not EXCLUDED.match(path.as_posix()))


def test_no_file_uses_a_word_that_is_not_to_come_back() -> None:
    assert [each.removeprefix(f"{ROOT}/") for path in files(ROOT) for each in findings(ROOT / path)] == []


def test_the_check_reads_code_documents_and_makefile() -> None:
    names = {path.as_posix() for path in files(ROOT)}
    assert {"README.md", "Makefile", "service/app.py", "docs/scoring.md", "tests/test_imports.py", ".ci/run"} <= names


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("docstring.py", '"""The engine, and whoever waits for it."""'),
        ("comment.py", "x = 1  # Nobody waits."),
        ("message.py", 'raise ValueError(f"{x} stands in the queue already")'),
        ("folded.py", '"""One line ends with at\nleisure."""'),
        ("name.py", "def test_whoever_asks_is_refused(): ..."),
        ("document.md", "The client is told when to come back."),
    ],
)
def test_a_planted_word_is_found(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_text(source, encoding="utf-8")
    assert len(findings(tmp_path / name)) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("key.py", 'status = "told"'),
        ("message.py", 'raise ValueError("the standard deviation is understood")'),
        ("document.md", "Everyone reads the understanding of standards."),
    ],
)
def test_other_words_are_not_found(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_text(source, encoding="utf-8")
    assert findings(tmp_path / name) == []
