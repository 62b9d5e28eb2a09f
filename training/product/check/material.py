"""A product's data as the checks read it: rendered pairs with ids, split and gains, and the rows of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer

from models.template import Content, Template
from models.text import TextEncoder
from training.data.lists import Split
from training.data.source_files import SourceFiles
from training.policy.parser import read_policy
from training.policy.policy import GRADES, OVERALL
from training.product.lists import DataSettings, catalogue, graded_rows, list_splits, shown_candidates, split_of_member
from training.product.reading.log import ShownCandidate
from training.product.settings import ProductSettings, read_settings
from training.product.start import start_tokenizer

UNKNOWN = ("[UNK]", "<unk>")
NO_LIMIT = 100_000
"""Tokens: texts are measured whole."""


@dataclass(frozen=True)
class CheckedPair:
    """A graded row: its ids, split, texts, fields, overall grade as a gain, and rater."""

    row: int
    member_id: str
    candidate_id: str
    split: Split
    member: str
    candidate: str
    fields: dict[str, str]
    gain: float
    rater: str
    features: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """All that is checked."""

    settings: ProductSettings
    pairs: Sequence[CheckedPair]
    shown: Sequence[ShownCandidate]
    log_splits: dict[str, Split]
    catalogue: dict[str, str]
    template: Template
    encoder: TextEncoder
    unknown: int | None
    """The id of a word that the start encoder does not know; None where it has none."""

    def split(self, split: Split) -> list[CheckedPair]:
        return [each for each in self.pairs if each.split == split]


def read_material(folder: Path) -> Material:
    """Read a product's files as training does. Raises UserError or DataError."""
    settings = read_settings(folder)
    policy = read_policy(folder / settings.files.policy)
    data, files = DataSettings.of(settings), SourceFiles(folder)
    template = Template(member=settings.text.member, candidate=settings.text.candidate)
    rows = graded_rows(data, files)
    pairs = [
        CheckedPair(
            each.row,
            each.member_id,
            each.candidate_id,
            each.split or split_of_member(data, each.member_id),
            template.render_member(each.member),
            template.render_candidate(each.candidate),
            {**_fields("member", each.member), **_fields("candidate", each.candidate)},
            (each.grades.get(OVERALL, policy.overall(each.grades)) or 0) / max(GRADES),
            each.rater,
            each.features,
        )
        for each in rows
    ]
    shown = [each for each in shown_candidates(data, files) if each.shown]
    further = {name: template.render_candidate(content) for name, content in catalogue(data, files).items()}
    tokenizer = start_tokenizer(settings.encoder, folder)
    encoder = TextEncoder(tokenizer, NO_LIMIT, NO_LIMIT)
    words = Tokenizer.from_str(tokenizer)
    unknown = next((number for word in UNKNOWN if (number := words.token_to_id(word)) is not None), None)
    return Material(settings, pairs, shown, list_splits(data, rows, shown), further, template, encoder, unknown)


def _fields(side: str, content: Content) -> dict[str, str]:
    if isinstance(content, str):
        return {}
    return {f"{side}.{name}": str(value) for name, value in content.items() if value is not None}
