"""The README is short, and what it shows exists and works."""

import json
import re
from pathlib import Path

import pytest

from service.http.schemas import ScoreRequest, ScoreResponse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "service/README.md", "training/README.md")
PACKAGES = ("models", "service", "training")


def rooms() -> list[str]:
    """Folders of code in the three packages, and modules at a package's root."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).glob("*/__init__.py")}
    modules = [path for package in PACKAGES for path in (ROOT / package).glob("*.py") if not path.stem.startswith("__")]
    return sorted({path.name for path in folders} | {path.stem for path in modules})


@pytest.mark.parametrize("room", rooms())
def test_the_readme_names_each_room(room: str) -> None:
    shown = README.split("## Rooms")[1].split("```")[1]
    assert re.search(rf"\b{room}\b", shown), f"{room} is not under Rooms"


def test_the_readme_names_no_room_that_does_not_exist() -> None:
    shown = README.split("## Rooms")[1].split("```")[1]
    for name in re.findall(r"\b([a-z_]+)/", shown):
        assert any(ROOT.glob(name)) or any(ROOT.glob(f"*/{name}")), f"{name}/ is in the README only"


def test_the_request_and_its_answer_fit_the_contract() -> None:
    body = re.search(r"curl -s \S+/score .*?-d '(.*?)'", README, re.DOTALL)
    answer = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert body is not None
    assert answer is not None
    ScoreRequest.model_validate_json(body[1])
    ScoreResponse.model_validate_json(answer[1])
    assert [each["id"] for each in json.loads(body[1])["candidates"]] == ["j-1", "j-2", "j-3"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_word_exists(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / document).read_text(encoding="utf-8")
    for word in set(re.findall(r"(?:`|^|&& |: )make ([a-z][a-z-]+)", text, re.MULTILINE)):
        assert re.search(rf"^{word}:", makefile, re.MULTILINE), f"{document} shows make {word}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file(document: str) -> None:
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    for target in [*re.findall(r"\]\(([^)#:]+)", text), *re.findall(r'src="([^":]+)"', text)]:
        assert (path.parent / target).exists(), f"{document} links to {target}"


def named_paths(text: str) -> list[str]:
    """Paths of files and folders that a text names, apart from those in folders that commands write."""
    written = [line for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split() if line.endswith("/")]
    names = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.[a-z]+)?)`", text)
    return [name for name in names if not name.startswith(tuple(written))]


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(path: Path) -> None:
    for name in named_paths(path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{path.name} names {name}"


def test_only_folders_that_commands_write_may_be_missing() -> None:
    assert named_paths("`build/release/`, `service/gone.py`, `rebuild/`") == ["service/gone.py", "rebuild/"]


def test_the_readme_has_at_most_110_lines() -> None:
    assert len(README.splitlines()) <= 110
