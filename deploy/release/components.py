"""What is installed to serve: a bill of materials (CycloneDX), and the licence of every package."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.release.result import Failed, Places

# A package with another licence needs a decision by a person. In small letters: SPDX ids, and the classifiers of PyPI.
ALLOWED = frozenset(
    name.strip()
    for name in """
    apache-2.0, apache 2.0, apache software license, apache license 2.0, mit, mit license, bsd license, bsd-2-clause,
    bsd-3-clause, 3-clause bsd license, 0bsd, cc0-1.0, zlib, isc, isc license, unlicense, mpl-2.0,
    mozilla public license 2.0, psf-2.0, python software foundation license, oldap-2.8, openldap public license
    """.split(",")
)
OWN = frozenset({"fitscore", "pip", "setuptools"})


def allowed(licence: str) -> bool:
    """Whether a licence is allowed: an expression of SPDX, with AND, OR and brackets, or classifiers between `;`."""
    text = re.sub(r"\((iscl|mpl 2\.0)\)", "", licence.lower())
    parts = [part.strip() for part in re.split(r"(\band\b|\bor\b|;|\(|\))", text)]
    joints = {"and": "and", "or": "or", ";": "and", "(": "(", ")": ")"}
    expression = " ".join(joints.get(part) or str(part in ALLOWED) for part in parts if part)
    try:
        return bool(eval(expression))  # of True, False, and, or, brackets alone
    except SyntaxError:
        return False


def check_licences(packages: Sequence[Mapping[str, str]]) -> str:
    """Raises Failed for a package whose licence is unknown or not among ALLOWED."""
    if not packages:
        raise Failed("no package was found")
    bad = [f"{each['Name']}: {each['License']}" for each in packages if not allowed(each["License"])]
    if bad:
        raise Failed("a person has to decide on " + "; ".join(bad))
    return f"{len(packages)} packages"


def licences(places: Places) -> str:
    command = [str(places.program("release", "pip-licenses")), "--python", str(places.python("serve"))]
    command += ["--from", "mixed", "--format", "json", "--ignore-packages", *sorted(OWN)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (places.out / "licences.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return check_licences(found)


def installed(places: Places) -> dict[str, str]:
    """Name and version of each package in the environment that serves."""
    code = (
        "import importlib.metadata as m, json, re;"
        "print(json.dumps({re.sub('[-_.]+', '-', d.name).lower(): d.version for d in m.distributions()}))"
    )
    done = subprocess.run([places.python("serve"), "-c", code], check=True, capture_output=True, text=True)
    return {name: version for name, version in json.loads(done.stdout).items() if name not in OWN}


def check_components(bill: Mapping[str, Any], packages: Mapping[str, str], constraints: str) -> str:
    """Raises Failed unless the bill names exactly the installed packages, in the versions of `constraints`."""
    normal = {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in bill["components"]}
    named = {name: version for name, version in normal.items() if name not in OWN}
    if not named:
        raise Failed("the bill of materials names nothing")
    if named != packages:
        raise Failed(f"the bill and the environment differ in {_first(set(named.items()) ^ set(packages.items()))}")
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", constraints, re.MULTILINE))
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    loose = {f"{name} {version}" for name, version in packages.items() if pins.get(name) != version}
    if loose:
        raise Failed(f"constraints.txt does not pin {_first(loose)}")
    return f"{len(named)} components, each in its pinned version"


def _first(found: set[Any]) -> str:
    return ", ".join(sorted(map(str, found))[:5])


def bill_of_materials(places: Places, constraints: str) -> str:
    """Write `sbom.cdx.json`, valid against CycloneDX's own schema and the same for the same packages."""
    file = places.out / "sbom.cdx.json"
    command = [str(places.program("release", "cyclonedx-py")), "environment", "--output-reproducible", "--validate"]
    command += ["--of", "JSON", "-o", str(file), "--pyproject", "pyproject.toml", str(places.python("serve"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr.strip().splitlines()[-1])
    return check_components(json.loads(file.read_text(encoding="utf-8")), installed(places), constraints)
