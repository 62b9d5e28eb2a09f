"""The checks of a release: what they refuse, and that nothing counts as passed that was not checked."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from deploy.release import artifacts, components, versions
from deploy.release.__main__ import check, checks, main, summary
from deploy.release.result import ROOT, Failed, NotChecked, Places, Result

FILES = ("pyproject.toml", "clients/python/pyproject.toml", "deploy/helm/fitscore/Chart.yaml", "CHANGELOG.md")
WAITING = "# Changelog\n\n## [Unreleased]\n\n### Added\n- One.\n\n## [0.1.0] - 2026-11-26\n\n- First.\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository with the files that name a version."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_file_names_the_same_version() -> None:
    assert versions.SEMVER.fullmatch(versions.version(ROOT))


@pytest.mark.parametrize("name", FILES[:3])
def test_a_file_with_another_version_is_named(copy: Path, name: str) -> None:
    file = copy / name
    file.write_text(file.read_text(encoding="utf-8").replace(versions.version(ROOT), "9.9.9", 1), encoding="utf-8")
    with pytest.raises(Failed, match=r"9\.9\.9"):
        versions.version(copy)


def test_versions_are_sorted_as_semver_says() -> None:
    sorted_ = (
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.10.0".split()
    )
    assert sorted(reversed(sorted_), key=versions.order) == sorted_


@pytest.mark.parametrize("text", ["1.0", "v1.0.0", "01.0.0", "1.0.0+build", "1.0.0-", "1.0.0 "])
def test_other_words_are_no_version(text: str) -> None:
    assert versions.SEMVER.fullmatch(text) is None


def tagged(folder: Path, *tags: str) -> Path:
    """A repository with these tags on its first commit, and a second commit above it."""
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    commands = [["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"], *(["tag", each] for each in tags)]
    for command in [*commands, ["commit", "-q", "--allow-empty", "-m", "y"]]:
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.mark.process
@pytest.mark.parametrize(("tags", "last"), [((), "none"), (("v0.0.1", "v0.0.9", "nightly"), "0.0.9")])
def test_a_version_above_the_last_tag_is_accepted(copy: Path, tags: tuple[str, ...], last: str) -> None:
    own = f"v{versions.version(copy)}"
    assert versions.check_version(tagged(copy, *tags), own).endswith(f"last tag: {last}")


@pytest.mark.process
@pytest.mark.parametrize("tag", ["same", "v99.0.0"])
def test_a_version_that_is_tagged_or_older_is_refused(copy: Path, tag: str) -> None:
    own = f"v{versions.version(copy)}"
    with pytest.raises(Failed, match="not above the last tag"):
        versions.check_version(tagged(copy, own if tag == "same" else tag), own)


@pytest.mark.process
def test_a_dry_run_may_have_the_last_version_and_no_older_one(copy: Path) -> None:
    own = versions.version(copy)
    assert versions.check_version(tagged(copy, f"v{own}"), "").endswith(f"last tag: {own}")
    subprocess.run(["git", "-C", str(copy), "tag", "v99.0.0", "HEAD~1"], check=True)
    with pytest.raises(Failed, match="not above the last tag"):
        versions.check_version(copy, "")


@pytest.mark.process
def test_a_commit_with_a_tag_of_a_version_is_a_release(copy: Path) -> None:
    tagged(copy, "v0.0.1")
    assert versions.tag_of(copy) == ""
    for tag in ("nightly", "v0.9.0", "v0.10.0"):
        subprocess.run(["git", "-C", str(copy), "tag", tag], check=True)
    assert versions.tag_of(copy) == "v0.10.0"
    with pytest.raises(Failed, match=r"the tag is v0\.10\.0"):
        versions.check_version(copy, "v0.10.0")


@pytest.mark.parametrize(
    ("changelog", "sentence"),
    [
        (WAITING, "has 1 entries"),
        (WAITING.replace("- One.\n", ""), ""),
        (WAITING.replace("- One.\n", "").replace(" - 2026-11-26", ""), "has no date"),
        (WAITING.replace("- One.\n", "").replace("- First.", ""), "has no entries"),
        (WAITING.replace("- One.\n", "").replace("0.1.0", "0.0.9"), "newest section is not"),
        ("# Changelog\n", r"first section is not \[Unreleased\]"),
    ],
)
def test_the_changelog_describes_the_version_and_nothing_waits(changelog: str, sentence: str) -> None:
    if not sentence:
        assert versions.check_changelog(changelog, "0.1.0", "v0.1.0") == "[0.1.0] of 2026-11-26"
        return
    with pytest.raises(Failed, match=sentence):
        versions.check_changelog(changelog, "0.1.0", "v0.1.0")


def test_in_a_dry_run_entries_wait_for_the_next_version_and_all_else_must_hold() -> None:
    found = versions.check_changelog(WAITING, "0.1.0", "")
    assert found == "[0.1.0] of 2026-11-26; dry run: 1 entries wait for the next"
    with pytest.raises(Failed, match="has no date"):
        versions.check_changelog(WAITING.replace(" - 2026-11-26", ""), "0.1.0", "")
    with pytest.raises(Failed, match="newest section is not"):
        versions.check_changelog(WAITING, "0.2.0", "")


def test_a_bump_makes_both_checks_pass(copy: Path) -> None:
    (copy / "CHANGELOG.md").write_text(WAITING, encoding="utf-8")
    versions.bump(copy, "0.2.0", "2026-12-01")
    assert versions.version(copy) == "0.2.0"
    changelog = (copy / "CHANGELOG.md").read_text(encoding="utf-8")
    assert versions.check_changelog(changelog, "0.2.0", "v0.2.0") == "[0.2.0] of 2026-12-01"
    assert versions.sections(changelog)[1].text.endswith("- One.")


@pytest.mark.parametrize("one", ["0.0.9", "0.1.0", "next"])
def test_a_bump_goes_up(copy: Path, one: str) -> None:
    with pytest.raises(Failed, match="above"):
        versions.bump(copy, one, "2026-12-01")


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("Apache-2.0", True),
        ("Apache Software License", True),
        ("MIT License", True),
        ("BSD-3-Clause", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib", True),
        ("Apache Software License; MIT License", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("MPL-2.0 AND (GPL-3.0-only OR AGPL-3.0-only)", False),
        ("MIT AND (", False),
        ("UNKNOWN", False),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("Not the MIT License", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_if_all_its_parts_are(licence: str, good: bool) -> None:
    assert components.allowed(licence) is good


def test_an_empty_list_of_licences_is_no_success() -> None:
    with pytest.raises(Failed, match="no package"):
        components.check_licences([])


PACKAGES = {"numpy": "2.4.0", "prometheus-client": "0.23.1"}
BILL = {"components": [{"name": "numpy", "version": "2.4.0"}, {"name": "prometheus_client", "version": "0.23.1"}]}
PINS = "numpy==2.4.0\nprometheus_client==0.23.1\n"


def test_a_bill_that_names_what_is_installed_and_pinned_holds() -> None:
    assert components.check_components(BILL, PACKAGES, PINS).startswith("2 components")


@pytest.mark.parametrize(
    ("packages", "pins", "sentence"),
    [
        ({**PACKAGES, "orjson": "3.11"}, PINS, "orjson"),
        ({"numpy": "2.4.0"}, PINS, "prometheus-client"),
        (PACKAGES, PINS.replace("2.4.0", "2.3.0"), "numpy 2.4.0"),
    ],
)
def test_a_difference_between_bill_environment_and_pins_is_named(
    packages: dict[str, str], pins: str, sentence: str
) -> None:
    with pytest.raises(Failed, match=sentence):
        components.check_components(BILL, packages, pins)


def test_an_empty_bill_is_no_success() -> None:
    with pytest.raises(Failed, match="names nothing"):
        components.check_components({"components": []}, {}, PINS)


@pytest.mark.parametrize("report", ["", "dockerfile scan results:\n\nPassed checks: 0, Failed checks: 0"])
def test_a_scan_of_nothing_is_no_success(report: str) -> None:
    assert artifacts.passed("Passed checks: 89, Failed checks: 0") == "89 checks passed"
    with pytest.raises(Failed, match="checked nothing"):
        artifacts.passed(report)


@pytest.mark.parametrize(("package", "good"), [("fitscore_client", True), ("service", False), ("models", False)])
def test_a_wheel_with_a_common_name_is_refused(tmp_path: Path, package: str, good: bool) -> None:
    with zipfile.ZipFile(tmp_path / "some-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{package}/__init__.py", "")
        wheel.writestr("some-1.dist-info/METADATA", "")
    places = Places(tmp_path, tmp_path)
    if good:
        assert artifacts.nothing_internal(places)
    else:
        with pytest.raises(Failed, match=package):
            artifacts.nothing_internal(places)


def test_what_was_not_checked_is_never_passed(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path)
    found = check("vulnerabilities", checks("")["vulnerabilities"], places)
    assert (found.state, "no vulnerability database" in found.detail) == ("not checked", True)
    assert check("sbom", checks("")["sbom"], places).state == "not checked"  # its environment is missing
    assert summary([Result("version", "ok", ""), found]) == "1 of 2 checks passed; not checked: vulnerabilities"


def test_a_failed_check_is_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--venv", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["check", "--only", "version", "vulnerabilities", *out]) == 0
    assert "1 of 2 checks passed; not checked: vulnerabilities" in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "tags", lambda _: ["99.0.0"])
        assert main(["check", "--only", "version", *out]) == 1
    assert "failed" in capsys.readouterr().out
    assert main(["check", "--only", "version", "--tag", "v99.0.0", *out]) == 1
    assert "the tag is v99.0.0" in capsys.readouterr().out


def test_a_missing_environment_is_not_checked(tmp_path: Path) -> None:
    with pytest.raises(NotChecked, match="serve is missing"):
        Places(tmp_path, tmp_path).python("serve")
