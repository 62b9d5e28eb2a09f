"""The result of one check, and where a check finds the environments that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A check that does not hold; the message says what is wrong."""


class NotChecked(Exception):
    """A check that could not be made here; the message says why. It never counts as passed."""


@dataclass(frozen=True)
class Places:
    """The environments of `make`, and the folder for the files of the release."""

    venv: Path
    out: Path

    def python(self, environment: str) -> Path:
        """Raises NotChecked if `make` has not made the environment."""
        path = self.venv / environment / "bin" / "python"
        if not path.exists():
            raise NotChecked(f"the environment {environment} is missing; make release-check makes it")
        return path

    def program(self, environment: str, name: str) -> Path:
        return self.python(environment).with_name(name)


@dataclass(frozen=True)
class Result:
    """`state` is `not checked` where nothing was looked at."""

    name: str
    state: Literal["ok", "failed", "not checked"]
    detail: str
