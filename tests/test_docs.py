"""The documentation site builds strictly, its generated pages follow the code, and its pictures are current."""

from __future__ import annotations

import html
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.request import ItemStatus
from service.settings import NAMES, PREFIX

ROOT = Path(__file__).parents[1]
NEEDED = ("mkdocs", "material")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in NEEDED), reason="the extra `docs` is not installed"
    ),
]
LOADING_TAGS = (
    r"<(?:link[^>]+rel=\"?(?:stylesheet|preconnect|preload)[^>]+href|(?:script|img|iframe)[^>]+src)=\"?https?://"
)


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def page(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


def test_the_site_builds_strictly(site: Path) -> None:
    assert "Architecture" in page(site, "index.html")


@pytest.mark.parametrize("link", ["[gone](nowhere.md)", "[gone](glossary.md#nowhere)"])
def test_a_planted_broken_link_fails_the_build(tmp_path: Path, link: str) -> None:
    for name in ("docs", "service", "models", "training", "load_tests", "clients"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / "scoring.md").open("a", encoding="utf-8") as file:
        file.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere" in done.stdout + done.stderr


def test_the_configuration_page_lists_every_setting(site: Path) -> None:
    shown = page(site, "reference/configuration.html")
    missing = [name for name in NAMES if f"{PREFIX}{name.upper()}" not in shown]
    assert missing == []


def test_the_metrics_page_lists_series_with_their_labels(site: Path) -> None:
    shown = page(site, "reference/metrics.html")
    assert "fitscore_requests_total" in shown
    assert "fitscore_backlog_seconds" in shown
    assert "_created" not in shown


def test_every_setting_and_series_that_a_document_names_exists(site: Path) -> None:
    known = page(site, "reference/configuration.html") + page(site, "reference/metrics.html")
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")]
    for path in documents:
        for name in re.findall(
            r"\bFITSCORE_[A-Z_]+[A-Z]\b|\bfitscore_[a-z_]+[a-z]\b", path.read_text(encoding="utf-8")
        ):
            assert name in known, f"{path.name} names {name}"


def test_the_page_of_scoring_explains_each_status_of_a_candidate() -> None:
    shown = (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8")
    missing = [status.value for status in ItemStatus if f"| `{status.value}` |" not in shown]
    assert missing == []


def test_the_api_page_lists_every_route(site: Path) -> None:
    shown = page(site, "reference/api.html")
    for route in ("POST /score", "POST /rerank", "PUT /candidates", "GET /v1/models", "GET /readyz"):
        assert route in shown


@pytest.mark.parametrize("file", ["python/examples/score.py", "java/Score.java", "go/score.go"])
def test_the_page_of_clients_shows_the_files_that_are_tested(site: Path, file: str) -> None:
    code = re.sub(r"<[^>]+>", "", page(site, "clients.html"))
    lines = (ROOT / "clients" / file).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.strip() not in html.unescape(code)] == []


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        found = re.search(LOADING_TAGS, path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(site)}: {found}"


def test_the_committed_pictures_are_current() -> None:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for path, svg in module.pictures():
        assert path.read_text(encoding="utf-8") == svg, f"{path.name}: run make pictures"
