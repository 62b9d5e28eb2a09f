"""`product.toml`: what a product is, as typed values. An unknown key, or a value that does not fit, is an error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.features import Feature
from models.template import FieldFormat
from training.errors import UserError

SETTINGS = "product.toml"
Share = Annotated[float, Field(gt=0, lt=0.5)]
Count = Annotated[int, Field(ge=1)]


class SettingsError(UserError):
    """A setting of `product.toml` that cannot be used; the message names the file and the key."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Files(_Part):
    """Paths from the product's folder; "" for a table that there is not."""

    policy: str = "policy.md"
    pairs: str = ""
    log: str = ""
    candidates: str = ""


class TextSettings(_Part):
    """How fields become text, and how many tokens of it are read."""

    member: tuple[FieldFormat, ...] = ()
    candidate: tuple[FieldFormat, ...] = ()
    member_tokens: Annotated[int, Field(ge=4, le=510)] = 64
    candidate_tokens: Annotated[int, Field(ge=4, le=510)] = 128


class Grades(_Part):
    """The raters, the one who decides first; the dimensions that get a head of their own."""

    authority: tuple[str, ...] = ("rater",)
    dimensions: tuple[str, ...] = ()


class Log(_Part):
    """Actions of the log; `places` are the positions whose chance of a look is learnt."""

    actions: tuple[str, ...] = ()
    places: Annotated[int, Field(ge=0)] = 0
    rare: tuple[str, ...] = ()


class Split(_Part):
    """Shares that are held out: of members, or of the log's lists, the latest."""

    by: Literal["member", "time"] = "member"
    valid: Share = 0.1
    test: Share = 0.2


class Training(_Part):
    """How long each model learns, and from how much."""

    hours: Annotated[float, Field(gt=0)] = 1.0
    start_steps: Count = 40
    teacher_steps: Count = 100
    student_steps: Count = 80
    frozen_steps: Count = 1000
    engagement_steps: Count = 30
    lists_per_step: Annotated[int, Field(ge=1, le=16)] = 16
    candidates_per_list: Annotated[int, Field(ge=2, le=100)] = 8
    annotated_lists: Count = 400
    pool_members: Annotated[int, Field(ge=0)] = 0
    unlabelled_lists: Annotated[int, Field(ge=0)] = 0
    seed: int = 0


class Evaluation(_Part):
    """What is measured beside the student, and what the student must reach."""

    baselines: bool = True
    lists: Count = 400
    fairness_lists: Annotated[int, Field(ge=0)] = 0
    floors: dict[str, float] = {}


class CardSettings(_Part):
    """What the model card states."""

    title: str
    intended_use: str
    limits: str
    licence: str
    attributions: tuple[str, ...] = ()


class ProductSettings(_Part):
    """All of `product.toml`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    version: str = "1"
    encoder: str = ""
    live: str = ""
    files: Files
    columns: dict[str, str] = {}
    features: tuple[Feature, ...] = ()
    text: TextSettings
    grades: Grades = Grades()
    log: Log = Log()
    split: Split = Split()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    card: CardSettings


def read_settings(folder: Path) -> ProductSettings:
    """The settings in a product's folder. Raises SettingsError, which names the line or the key."""
    path = folder / SETTINGS
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist: make it with `python -m training new {folder}`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    try:
        settings = ProductSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"{path}: {_first(error)}") from None
    if not (settings.files.pairs or settings.files.log):
        raise SettingsError(f"{path}: files: name pairs, a log or both")
    names = [each.name for each in settings.features]
    if len(set(names)) < len(names):
        raise SettingsError(f"{path}: features: two have the same name")
    if settings.split.by == "time" and settings.files.pairs:
        raise SettingsError(f"{path}: split.by is 'time': pairs have no time, so members are held out: write 'member'")
    if settings.split.valid + settings.split.test >= 0.9:
        raise SettingsError(f"{path}: split: valid and test leave nothing to train on")
    return settings


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    key = ".".join(map(str, found["loc"]))
    if found["type"] == "extra_forbidden":
        return f"{key} is not a setting: see the comments of a new product.toml"
    if found["type"] == "missing":
        return f"{key} is missing"
    return f"{key} is {found['input']!r}: {found['msg'][0].lower()}{found['msg'][1:]}"
