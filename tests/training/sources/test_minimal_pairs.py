"""The shipped minimal pairs: counts, fields, no overlap with the judged texts, and nothing that one side gives away."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from models.template import Fields
from training.data.tables import DataError
from training.policy.parser import read_policy
from training.policy.policy import Policy
from training.sources.judged import DATASETS, judged_jobs
from training.sources.minimal_pairs import MinimalJobPair, minimal_job_pairs
from training.sources.requirements.audit import MinimalPair, Share, audit, words

Audited = dict[str, dict[str, Share]]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(Path(__file__).parents[3] / "training/policy/documents/jobs.md")


@pytest.fixture(scope="module")
def pairs(policy: Policy) -> list[MinimalJobPair]:
    return minimal_job_pairs(policy)


def text(fields: Fields) -> str:
    return ". ".join(", ".join(value) if isinstance(value, list) else str(value) for value in fields.values())


@pytest.fixture(scope="module")
def audited(pairs: list[MinimalJobPair]) -> Audited:
    plain = [MinimalPair(p.dimension, text(p.member), text(p.better), text(p.worse), 0, 1) for p in pairs]
    return audit(plain, plain)


def test_each_dimension_has_forty_pairs(policy: Policy, pairs: list[MinimalJobPair]) -> None:
    assert Counter(pair.dimension for pair in pairs) == dict.fromkeys(policy.dimension_names, 40)


def test_each_pair_is_complete_and_no_text_occurs_twice(pairs: list[MinimalJobPair]) -> None:
    assert all(pair.member["headline"] and pair.better["title"] and pair.worse["title"] and pair.why for pair in pairs)
    jobs = [text(job) for pair in pairs for job in (pair.better, pair.worse)]
    assert len(set(jobs)) == len(jobs)
    assert len({text(pair.member) for pair in pairs}) == len(pairs)


def test_members_come_from_many_occupations(pairs: list[MinimalJobPair]) -> None:
    assert len({str(pair.member["headline"]).lower() for pair in pairs}) >= 150


def test_no_text_is_close_to_a_judged_one(policy: Policy, pairs: list[MinimalJobPair]) -> None:
    def runs(of: str) -> set[tuple[str, ...]]:
        found = words(of)
        return {tuple(found[i : i + 6]) for i in range(len(found) - 5)}

    lists = judged_jobs(policy)
    judged = {text(one.member) for one in lists} | {text(pair.fields) for one in lists for pair in one.pairs}
    known = set().union(*map(runs, judged))
    for pair in pairs:
        for fields in (pair.member, pair.better, pair.worse):
            mine = runs(text(fields))
            assert len(mine & known) <= 0.2 * len(mine), text(fields)


@pytest.mark.parametrize("shortcut", ["bm25", "length"])
def test_words_and_length_are_near_chance(audited: Audited, shortcut: str) -> None:
    assert audited[shortcut]["all"].right == pytest.approx(0.5, abs=0.05)
    for name, share in audited[shortcut].items():
        assert share.right == pytest.approx(0.5, abs=0.17), name


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dimension": "pay"}, r"line 1, 'dimension': must be one of role"),
        ({"better": {"title": "Baker"}}, r"line 1, 'better': must have the fields title"),
        ({"why": None, "because": "so"}, r"line 1: must have the keys dimension"),
    ],
)
def test_a_line_that_is_no_pair_is_named(
    policy: Policy, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    row = json.loads((DATASETS / "minimal_pairs_jobs.jsonl").read_text().splitlines()[0])
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({**row, **change}) + "\n")
    with pytest.raises(DataError, match=sentence):
        minimal_job_pairs(policy, path)


def test_a_line_that_is_no_json_is_named(policy: Policy, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{\n")
    with pytest.raises(DataError, match="line 1: not a JSON object"):
        minimal_job_pairs(policy, path)
