"""The files of a release: client package, chart, bundles, image. The service and the cookbook have no wheel."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from deploy.release.result import ROOT, Failed, NotChecked, Places
from models.bundle.files import Bundle
from models.errors import BundleError

INTERNAL = frozenset({"models", "service", "training", "load_tests", "tests", "deploy"})
"""Packages whose names are too common for an index."""
EXPORTS = "tests/test_end_to_end.py"


def run(command: Sequence[str | Path], **environment: str) -> str:
    """Standard output. Raises Failed with the last line of an error."""
    found = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=found)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise Failed(f"{Path(str(command[0])).name} failed: {lines[-1]}")
    return done.stdout


def top_level(wheel: Path) -> set[str]:
    """The packages that a wheel would install."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name.split("/")[0] for name in names if ".dist-info/" not in name}


def client(places: Places, version: str) -> str:
    """Build the client's wheel."""
    run([places.python("release"), "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", places.out, "clients/python"])
    wheel = places.out / f"fitscore_client-{version}-py3-none-any.whl"
    if not wheel.exists():
        raise Failed(f"{wheel.name} was not built")
    if top_level(wheel) != {"fitscore_client"}:
        raise Failed(f"{wheel.name} holds {', '.join(sorted(top_level(wheel)))}")
    return wheel.name


def chart(places: Places, version: str) -> str:
    """Package the chart."""
    run([places.program("platform", "helm"), "package", "deploy/helm/fitscore", "--destination", places.out])
    package = places.out / f"fitscore-{version}.tgz"
    with tarfile.open(package) as files:
        names = files.getnames()
    if "fitscore/values.schema.json" not in names:
        raise Failed(f"{package.name} has no schema of its values")
    return package.name


def bundles(places: Places) -> str:
    """Pack each shipped bundle after its digests were checked."""
    done = []
    for folder in sorted(path.parent for path in (ROOT / "models").glob("*/manifest.json")):
        try:
            Bundle.load(folder)
        except BundleError as error:
            raise Failed(f"{folder.name}: {error}") from None
        with tarfile.open(places.out / f"{folder.name}.tar.gz", "w:gz") as package:
            package.add(folder, arcname=folder.name)
        digest = (folder / "manifest.sha256").read_text(encoding="utf-8")
        done.append(f"{folder.name} ({digest[:12]})")
    if not done:
        raise Failed("there is no bundle")
    return ", ".join(done)


def nothing_internal(places: Places) -> str:
    """Raises Failed if a wheel of the release installs a package with one of the INTERNAL names."""
    wheels = sorted(places.out.glob("*.whl"))
    bad = {wheel.name: found for wheel in wheels if (found := top_level(wheel) & INTERNAL)}
    if bad:
        raise Failed("; ".join(f"{name} holds {', '.join(sorted(found))}" for name, found in bad.items()))
    return f"{len(wheels)} wheel, of the client"


def dockerfile(places: Places) -> str:
    run([places.program("dev", "hadolint"), "Dockerfile"])
    checkov = places.venv / "platform" / "checkov" / "bin" / "checkov"
    if not checkov.exists():
        raise NotChecked("checkov is missing; make release-check installs it")
    command = [
        str(checkov),
        "--compact",
        "--skip-download",
        "--framework",
        "dockerfile",
        "-f",
        "Dockerfile",
        "-o",
        "cli",
    ]
    # CKV_DOCKER_7 asks for a tag of the base image; it is in the argument BASE, which checkov does not read.
    return "hadolint finds nothing; checkov: " + passed(run([*command, "--skip-check", "CKV_DOCKER_7"]))


def passed(report: str) -> str:
    """The number of checks that checkov made. Raises Failed if it made none."""
    found = re.search(r"Passed checks: (\d+)", report)
    if found is None or found[1] == "0":
        raise Failed("checkov checked nothing")
    return f"{found[1]} checks passed"


def image(_: Places) -> str:
    """Build the image without a container engine, run it from its root file system, and score a request with it."""
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        raise NotChecked("needs Debian and root; make image builds it with Docker")
    return run(["container/build_here.sh"]).strip().splitlines()[-1]


def exports(places: Places) -> str:
    """Train the demo, and export it twice: one checkpoint gives one bundle, byte for byte. Takes minutes."""
    run([places.python("dev"), "-m", "pytest", "-q", "-p", "no:cacheprovider", EXPORTS, "-k", "one_checkpoint"])
    return "two exports of one checkpoint give one digest, and graphs made again are the same"
