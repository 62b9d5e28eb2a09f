"""A virtual environment for each server, made once under `.venv/peers/`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv" / "peers"

NAIVE = (("fastapi", "uvicorn[standard]", "onnxruntime==1.31.1", "tokenizers", "numpy"),)
# torch first: in one step, the resolver chooses another torch to satisfy infinity's old pins.
INFINITY = (("torch==2.13.0",), ("infinity-emb[server,optimum,torch]==0.0.78",))
CROSS_ENCODER = (("torch==2.13.0",), ("sentence-transformers==6.2.0", "fastapi", "uvicorn[standard]"))
PAIRS = ("onnxruntime==1.31.1", "tokenizers", "numpy")
LITSERVE = (("litserve==0.2.19", *PAIRS),)
MOSEC = (("mosec==0.9.8", *PAIRS),)
BENTOML = (("bentoml==1.4.40", *PAIRS),)
RAY = (("ray[serve]==2.60.0", *PAIRS),)
FITSCORE = ((f"{ROOT}[service-cpu]",),)


def environment(name: str, steps: Sequence[Sequence[str]]) -> Path:
    """The bin folder of the environment, which is rebuilt when its packages change; one pip run a step."""
    folder = HOME / name
    stamp = folder / "installed.sha256"
    expected = hashlib.sha256(repr((sys.version_info[:2], steps, *_own_project(steps))).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != expected:
        print(f"making the environment of {name} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for packages in steps:
            subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages], check=True)
        stamp.write_text(expected)
    return folder / "bin"


def _own_project(steps: Sequence[Sequence[str]]) -> list[bytes]:
    """The project's pyproject.toml, if the project is among the packages."""
    own = any(package.startswith(str(ROOT)) for packages in steps for package in packages)
    return [(ROOT / "pyproject.toml").read_bytes()] if own else []
