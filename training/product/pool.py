"""`pool NAME`: training members with candidates of the catalogue, as the file of pairs that `judge NAME --pool` labels.

Knows no judge: it needs an endpoint, or batch files. Pairs that have a grade already are left out.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import polars as pl

from models.template import Content, Template
from training.data.source_files import SourceFiles
from training.errors import UserError
from training.files import write_whole
from training.product.lists import DataSettings, catalogue, graded_rows, list_splits, shown_candidates, split_of_member
from training.product.settings import read_settings

POOL = "pool.parquet"
CANDIDATES_PER_MEMBER = 10


def write_pool(folder: Path, pairs: int) -> int:
    """Write FOLDER/pool.parquet with up to so many pairs; how many there are. Raises UserError or DataError."""
    settings = read_settings(folder)
    if not settings.files.candidates:
        raise UserError(f"{folder} has no catalogue: name one in files.candidates")
    data, files = DataSettings.of(settings), SourceFiles(folder)
    members, graded = _training_members(data, files)
    candidates = list(catalogue(data, files).items())
    drawing = random.Random(settings.training.seed)
    template = Template(member=settings.text.member, candidate=settings.text.candidate)
    rows: list[tuple[str, str, str, str]] = []
    for member_id, member in drawing.sample(sorted(members.items(), key=lambda each: each[0]), len(members)):
        for candidate_id, candidate in drawing.sample(candidates, min(CANDIDATES_PER_MEMBER, len(candidates))):
            if (member_id, candidate_id) not in graded and len(rows) < pairs:
                texts = template.render_member(member), template.render_candidate(candidate)
                rows.append((member_id, candidate_id, *texts))
    if not rows:
        raise UserError(f"{folder}: no training member meets a candidate of the catalogue without a grade: add some")
    file = io.BytesIO()
    pl.DataFrame(rows, schema=["member_id", "candidate_id", "member", "candidate"], orient="row").write_parquet(file)
    write_whole(folder / POOL, file.getvalue())
    return len(rows)


def _training_members(data: DataSettings, files: SourceFiles) -> tuple[dict[str, Content], set[tuple[str, str]]]:
    """Members by id, of pairs and log, that are not held out; and the pairs that have a grade."""
    rows = graded_rows(data, files)
    shown = shown_candidates(data, files)
    splits = list_splits(data, rows, shown)
    members = {each.member_id: each.member for each in shown if splits[each.list_id] == "train"}
    held_out = {each.member_id for each in shown if splits[each.list_id] != "train"}
    for each in rows:
        if (each.split or split_of_member(data, each.member_id)) == "train":
            members[each.member_id] = each.member
        else:
            held_out.add(each.member_id)
    graded = {(each.member_id, each.candidate_id) for each in rows}
    return {name: content for name, content in members.items() if name not in held_out}, graded
