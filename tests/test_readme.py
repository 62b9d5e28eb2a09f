"""What the README shows exists and works."""

import json
import re
from pathlib import Path

import pytest

from service.http.schemas import ScoreRequest, ScoreResponse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_python_file_stands_in_the_tree() -> None:
    for package in ("models", "service", "training"):
        for path in (ROOT / package).glob("*.py"):
            assert path.name == "__init__.py" or path.name in README, (
                f"{package}/{path.name} is not in the README's tree"
            )


def test_every_file_of_the_tree_exists() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    for name in re.findall(r"\b([a-z_]+\.py)\b", tree):
        assert any(ROOT.glob(f"*/{name}")) or any(ROOT.glob(f"*/*/{name}")), f"{name} is in the tree only"


def test_the_request_and_its_answer_fit_the_contract() -> None:
    body = re.search(r"curl -s \S+/score .*?-d '(.*?)'", README, re.DOTALL)
    answer = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert body is not None
    assert answer is not None
    ScoreRequest.model_validate_json(body[1])
    ScoreResponse.model_validate_json(answer[1])
    assert [each["id"] for each in json.loads(body[1])["candidates"]] == ["j-1", "j-2", "j-3"]


@pytest.mark.parametrize("word", sorted(set(re.findall(r"make ([a-z-]+)", README))))
def test_every_make_word_exists(word: str) -> None:
    assert re.search(rf"^{word}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
