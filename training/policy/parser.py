"""Policy document -> `Policy`. The sections below have a fixed form; all other sections are for people only.

    front matter            name, version (three numbers), product, owners
    ## Rules                apply to every grade; the judge gets them word for word
    ## Overall              a table `dimension | grade at most | overall at most`
    ## Dimension: NAME      `Weight: N`, then ### Question, ### Guidance (optional), ### Grades, ### Examples

A mistake is a DocumentError that begins with `file:line:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from training.policy.markdown import Document, DocumentError, Line, Row, Section, read_document
from training.policy.policy import GRADES, OVERALL, Cap, Dimension, Example, Grade, Policy, text_hash

FRONT = {"name": r"[a-z][a-z0-9-]*", "version": r"\d+\.\d+\.\d+", "product": r".+", "owners": r".+"}
PARTS = ("Question", "Guidance", "Grades", "Examples")
EXAMPLE = ("Member", "Candidate", "Because")
GRADE_TABLE = ("grade", "name", "meaning")
CAP_TABLE = ("dimension", "grade at most", "overall at most")
WEIGHT_LINE = re.compile(r"^Weight: \d+\s*$", re.MULTILINE)


def read_policy(path: Path) -> Policy:
    """Read a policy document. Raises DocumentError with file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(path.name, 1, f"not a readable UTF-8 text ({type(error).__name__})") from error
    return parse_policy(text, path.name)


def parse_policy(text: str, origin: str) -> Policy:
    """Parse the text of a policy document; `origin` names it in errors."""
    document = read_document(text, origin)
    _check_front(document)
    rules = _rules(document)
    dimensions = tuple(_dimensions(document, rules))
    return Policy(
        name=document.front["name"].text,
        version=document.front["version"].text,
        sha256=text_hash(text.removeprefix("\ufeff")),
        rules=rules,
        dimensions=dimensions,
        caps=tuple(_caps(document, {each.name for each in dimensions})),
    )


def _check_front(document: Document) -> None:
    for key, line in document.front.items():
        if key not in FRONT:
            raise document.error(line.line, f"{key!r} is not a key of the front matter; keys are: {', '.join(FRONT)}")
        if not re.fullmatch(FRONT[key], line.text):
            raise document.error(line.line, f"{key!r} is {line.text!r}, which does not match {FRONT[key]}")
    for key in FRONT:
        if key not in document.front:
            raise document.error(1, f"the front matter has no {key!r}")


def _only(document: Document, title: str) -> Section:
    found = [section for section in document.sections if section.title == title]
    if not found:
        raise document.error(document.lines, f"the section '## {title}' is missing")
    if len(found) > 1:
        raise document.error(found[1].line, f"a second section '## {title}'; the first is in line {found[0].line}")
    return found[0]


def _rules(document: Document) -> str:
    section = _only(document, "Rules")
    if not section.body:
        raise document.error(section.line, "'## Rules' is empty")
    return section.body


def _dimensions(document: Document, rules: str) -> Iterator[Dimension]:
    seen: dict[str, int] = {}
    weights: list[int] = []
    for section in document.sections:
        if not section.title.lower().startswith("dimension"):
            continue
        name = section.title.removeprefix("Dimension: ")
        if name == section.title or not re.fullmatch(r"[a-z][a-z_]*", name) or name == OVERALL:
            raise document.error(section.line, f"'## {section.title}' must read '## Dimension: name', in small letters")
        if name in seen:
            raise document.error(section.line, f"a second dimension {name!r}; the first is in line {seen[name]}")
        seen[name] = section.line
        dimension = _dimension(document, section, name, rules)
        weights.append(dimension.weight)
        yield dimension
    if not seen:
        raise document.error(document.lines, "a section '## Dimension: name' is missing")
    if sum(weights) != 100:
        raise document.error(
            next(iter(seen.values())), f"the weights of the dimensions add up to {sum(weights)}, not 100"
        )


def _dimension(document: Document, section: Section, name: str, rules: str) -> Dimension:
    parts: dict[str, Section] = {}
    for part in section.sections:
        if part.title not in PARTS:
            raise document.error(
                part.line, f"'### {part.title}' is not a part of a dimension; parts are: {', '.join(PARTS)}"
            )
        if part.title in parts:
            raise document.error(part.line, f"a second '### {part.title}' in dimension {name!r}")
        parts[part.title] = part
    for title in PARTS:
        if title not in parts and title != "Guidance":
            raise document.error(section.line, f"dimension {name!r} has no '### {title}'")
        if title in parts and not parts[title].body:
            raise document.error(parts[title].line, f"'### {title}' of dimension {name!r} is empty")
    return Dimension(
        name=name,
        weight=_weight(document, section, name),
        sha256=text_hash(f"{rules}\n\n{WEIGHT_LINE.sub('', section.body, count=1)}"),
        question=" ".join(parts["Question"].body.split()),
        guidance=parts["Guidance"].body if "Guidance" in parts else "",
        grades=_grades(document, parts["Grades"], name),
        examples=_examples(document, parts["Examples"], name),
    )


def _weight(document: Document, section: Section, name: str) -> int:
    stated = [line for line in section.paragraphs if line.text.startswith("Weight")]
    if not stated:
        raise document.error(section.line, f"dimension {name!r} has no line 'Weight: N'")
    match = re.fullmatch(r"Weight: (\d{1,3})", stated[0].text)
    if match is None or not 0 < int(match[1]) <= 100:
        raise document.error(stated[0].line, f"the weight of {name!r} must read 'Weight: N', N from 1 to 100")
    return int(match[1])


def _grades(document: Document, section: Section, name: str) -> tuple[Grade, ...]:
    found: list[Grade] = []
    for row in _table(document, section, GRADE_TABLE):
        value = _grade(document, row.cells[0], row.line)
        if value in (each.value for each in found):
            raise document.error(row.line, f"grade {value} of {name!r} appears twice")
        if not row.cells[1] or not row.cells[2]:
            raise document.error(row.line, f"grade {value} of {name!r} needs a name and a meaning")
        found.append(Grade(value, row.cells[1], row.cells[2]))
    for value in GRADES:
        if value not in (each.value for each in found):
            raise document.error(section.line, f"{name!r} has no grade {value}")
    return tuple(sorted(found, key=lambda each: -each.value))


def _table(document: Document, section: Section, columns: tuple[str, ...]) -> list[Row]:
    wanted = " | ".join(columns)
    if not section.rows:
        raise document.error(section.line, f"{section.title!r} has no table `{wanted}`")
    header, *rows = section.rows
    if header.cells != columns:
        raise document.error(header.line, f"the table must have the columns `{wanted}`")
    return rows


def _grade(document: Document, text: str, line: int) -> int:
    if not re.fullmatch(r"[0-4]", text):
        raise document.error(line, f"{text!r} is not a grade; grades are 0, 1, 2, 3, 4")
    return int(text)


def _examples(document: Document, section: Section, name: str) -> tuple[Example, ...]:
    examples = tuple(_example(document, each) for each in section.sections)
    if len({example.grade for example in examples}) < 2:
        raise document.error(section.line, f"{name!r} needs examples of at least two grades")
    return examples


def _example(document: Document, section: Section) -> Example:
    match = re.fullmatch(r"([^:]+): (.+)", section.title)
    if match is None:
        raise document.error(section.line, f"'#### {section.title}' must read '#### grade: what the example shows'")
    parts: dict[str, Line] = {}
    for item in section.items:
        key, _, text = item.text.partition(": ")
        if key not in EXAMPLE or not text.strip():
            raise document.error(item.line, f"an example's lines read '- {EXAMPLE[0]}: text', then {EXAMPLE[1:]}")
        if key in parts:
            raise document.error(item.line, f"a second '- {key}:' in one example")
        parts[key] = Line(text.strip(), item.line)
    for key in EXAMPLE:
        if key not in parts:
            raise document.error(section.line, f"the example {section.title!r} has no '- {key}: text'")
    texts = (parts[key].text for key in EXAMPLE)
    return Example(_grade(document, match[1], section.line), match[2], *texts)


def _caps(document: Document, names: set[str]) -> Iterator[Cap]:
    for row in _table(document, _only(document, "Overall"), CAP_TABLE):
        if row.cells[0] not in names:
            raise document.error(row.line, f"{row.cells[0]!r} is not a dimension of this policy")
        yield Cap(row.cells[0], _grade(document, row.cells[1], row.line), _grade(document, row.cells[2], row.line))
