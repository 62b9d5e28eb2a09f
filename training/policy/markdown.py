"""Markdown: a document as headed sections with the line of every part, and tables as text. Knows no policies.

markdown-it reads CommonMark and tables, YAML the front matter. Lines count from 1, as in editors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from training.errors import UserError


class DocumentError(UserError):
    """A document that cannot be read; the message begins with `origin:line:`."""

    def __init__(self, origin: str, line: int, sentence: str) -> None:
        super().__init__(f"{origin}:{line}: {sentence}")
        self.line = line


@dataclass(frozen=True)
class Line:
    """A piece of text and the line that it begins on."""

    text: str
    line: int


@dataclass(frozen=True)
class Row:
    """The cells of one table row."""

    cells: tuple[str, ...]
    line: int


@dataclass
class Section:
    """A heading and the content under it: paragraphs, list items, table rows (header first), deeper sections."""

    title: str
    level: int
    line: int
    paragraphs: list[Line] = field(default_factory=list)
    items: list[Line] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    body: str = ""


@dataclass(frozen=True)
class Document:
    """Front matter and the sections of level 2; `lines` counts the document's lines."""

    origin: str
    front: dict[str, Line]
    sections: tuple[Section, ...]
    lines: int

    def error(self, line: int, sentence: str) -> DocumentError:
        """An error at a line of this document."""
        return DocumentError(self.origin, line, sentence)


def read_document(text: str, origin: str) -> Document:
    """Read front matter and sections. Raises DocumentError with the line."""
    lines = text.removeprefix("\ufeff").splitlines()
    end = _front_matter_end(lines, origin)
    front = _front_matter(lines[1:end], origin)
    # Blank lines in place of the front matter keep all later line numbers correct.
    body = "\n".join([""] * (end + 1) + lines[end + 1 :])
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    sections = tuple(_sections(tokens, body.split("\n"), origin))
    return Document(origin, front, sections, len(lines))


def _front_matter_end(lines: Sequence[str], origin: str) -> int:
    if not lines or lines[0].rstrip() != "---":
        raise DocumentError(origin, 1, "front matter is missing: the first line must be ---")
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return number
    raise DocumentError(origin, 1, "front matter is not closed: a second line of --- is missing")


def _front_matter(lines: Sequence[str], origin: str) -> dict[str, Line]:
    # BaseLoader keeps every value as written: 1.0 stays "1.0".
    try:
        node = yaml.compose("\n".join(lines), Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line if error.problem_mark else 0
        raise DocumentError(origin, at + 2, f"front matter is not YAML: {error.problem}") from error
    if not isinstance(node, yaml.MappingNode):
        raise DocumentError(origin, 2, "front matter must be lines of `key: value`")
    front: dict[str, Line] = {}
    for key, value in node.value:
        line = key.start_mark.line + 2
        if not isinstance(value, yaml.ScalarNode):
            raise DocumentError(origin, line, f"{key.value!r} of the front matter must be one value")
        if key.value in front:
            raise DocumentError(origin, line, f"{key.value!r} appears twice in the front matter")
        front[key.value] = Line(value.value.strip(), line)
    return front


def _sections(tokens: Sequence[Token], lines: Sequence[str], origin: str) -> Iterator[Section]:
    """Sections of level 2 with their content; content before the first one is left out."""
    open_sections: list[Section] = []
    starts: list[tuple[Section, int]] = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.map and int(token.tag[1]) > 1:
            section = Section(tokens[index + 1].content.strip(), int(token.tag[1]), token.map[0] + 1)
            open_sections = [each for each in open_sections if each.level < section.level]
            if section.level != len(open_sections) + 2:
                raise DocumentError(origin, section.line, f"the heading {section.title!r} skips a level")
            if open_sections:
                open_sections[-1].sections.append(section)
            open_sections.append(section)
            starts.append((section, token.map[1]))
        elif open_sections:
            _add(tokens, index, open_sections[-1])
            if token.type == "tr_open" and token.map:
                _check_cells(open_sections[-1].rows[-1], lines[token.map[0]], origin)
    for number, (section, start) in enumerate(starts):
        following = [other.line - 1 for other, _ in starts[number + 1 :] if other.level <= section.level]
        section.body = "\n".join(lines[start : following[0] if following else len(lines)]).strip()
    yield from (section for section, _ in starts if section.level == 2)


def _add(tokens: Sequence[Token], index: int, section: Section) -> None:
    token = tokens[index]
    if token.map is None:
        return
    line = token.map[0] + 1
    if token.type == "tr_open":
        closing = next(at for at in range(index, len(tokens)) if tokens[at].type == "tr_close")
        cells = tuple(each.content.strip() for each in tokens[index:closing] if each.type == "inline")
        section.rows.append(Row(cells, line))
    elif token.type == "paragraph_open":
        text = " ".join(tokens[index + 1].content.split())
        inside_item = index > 0 and tokens[index - 1].type == "list_item_open"
        (section.items if inside_item else section.paragraphs).append(Line(text, line))


def _check_cells(row: Row, source: str, origin: str) -> None:
    """Raise DocumentError for more cells than columns: Markdown drops them, and with them a part of a meaning."""
    written = source.strip().removeprefix("|")
    written = written if written.endswith("\\|") else written.removesuffix("|")
    found = len(re.split(r"(?<!\\)\|", written))
    if found > len(row.cells):
        sentence = f"the row has {found} cells and the table {len(row.cells)} columns: write \\| for a | in a text"
        raise DocumentError(origin, row.line, sentence)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, as text."""
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    lines.insert(1, "|---" * len(columns) + "|")
    return "\n".join(lines) + "\n"
