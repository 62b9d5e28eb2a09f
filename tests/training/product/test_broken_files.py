# ruff: noqa: E501
"""Broken tables: each is one sentence with the file, the row, the column and what to do, and nothing is written."""

from __future__ import annotations

import datetime
import gzip
import io
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from training.errors import UserError
from training.product.new import Order, new_product

HEADER = "member,candidate,grade\n"
GOOD = HEADER + "".join(f"member {number},candidate {number % 3},{number % 5}\n" for number in range(6))


def made(folder: Path, name: str, content: bytes | str, **order: Any) -> list[str]:
    """What `new` assumes of a product with this file of pairs."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    wanted: dict[str, Any] = {"policy": None, "log": None, "candidates": None, "columns": {}, "encoder": None}
    return new_product(Order(folder / "shop", pairs=path, hours=1.0, **{**wanted, **order}), lambda _: 1000.0)


def parquet(columns: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(columns).write_parquet(out)
    return out.getvalue()


def three(**columns: Any) -> bytes:
    return parquet({"member": ["a", "b"], "candidate": ["x", "y"], "grade": [1, 2], **columns})


BIG = "x" * 10_000_000
CASES: dict[str, tuple[str, bytes | str, str]] = {
    "no bytes": ("p.csv", b"", r"p\.csv is empty: check how"),
    "only white space": ("p.csv", "\ufeff \r\n\n", r"p\.csv is empty: check how"),
    "only a header": ("p.csv", HEADER, r"p\.csv: there are no rows: check how"),
    "Latin-1": (
        "p.csv",
        (HEADER + "caf\u00e9,x,1\n").encode("latin-1"),
        r"p\.csv: line 2, byte 4 \(0xE9\): is not UTF-8: save",
    ),
    "UTF-16 with a mark": ("p.csv", GOOD.encode("utf-16"), r"p\.csv is UTF-16: save it as UTF-8"),
    "UTF-16 without a mark": ("p.csv", GOOD.encode("utf-16-le"), r"p\.csv: line 1: holds NUL bytes, as UTF-16 does: save"),
    "an Excel workbook": ("p.csv", b"PK\x03\x04 sheet", r"p\.csv is an Excel workbook .*: export it as CSV"),
    "gzip": ("p.csv", gzip.compress(GOOD.encode()), r"p\.csv is compressed with gzip: unpack it"),
    "Parquet by the name of CSV": ("p.csv", three(), r"p\.csv is Parquet: name it \.parquet"),
    "a web page": ("p.csv", "<!DOCTYPE html><html>", r"p\.csv is a web page: the download"),
    "semicolons": ("p.csv", GOOD.replace(",", ";"), r"p\.csv: the header \(line 1\): the columns are separated by semicolons: save"),
    "tabs": ("p.csv", GOOD.replace(",", "\t"), r"separated by tabs: save the file with commas, or name it \.tsv"),
    "bars": ("p.csv", GOOD.replace(",", "|"), r"separated by bars: save"),
    "a row too short": ("p.csv", GOOD + "a,b\n", r"p\.csv: row 6 \(line 8\), column 'grade': the row ends before"),
    "a row too long": ("p.csv", GOOD + "a,b,1,2\n", r"p\.csv: row 6 \(line 8\), column 'grade': 1 more cells .*quotes"),
    "quotes that stay open": (
        "p.csv",
        GOOD + '"a,b,1\nc,d,2\n',
        r"p\.csv: row 6 \(line 8\): quotes that begin in this row are never closed: close",
    ),
    "quotes in a cell": ("p.csv", GOOD + '"a "b" c",d,1\n', r"p\.csv: row 6 \(line 8\): a character follows closing quotes: write"),
    "a header twice": ("p.csv", "member,candidate,grade,grade\na,b,1,1\n", r"line 1\): column 'grade' is there twice: rename"),
    "a header without a name": ("p.csv", "member,,grade\na,b,1\n", r"column 2 of 3 has no name: give"),
    "a cell of 10 MB": ("p.csv", f"{GOOD}{BIG},b,1\n", r"p\.csv: row 6 \(line 8\): a cell has over 1,000,000 characters: cut"),
    "a NUL byte": ("p.csv", GOOD + "x" * 5000 + ",a\0b,1\n", r"p\.csv: row 6 \(line 8\), column 'candidate': holds a NUL byte: remove"),
    "a date as a grade": ("p.csv", GOOD + "a,b,2026-01-04\n", r"p\.csv: row 6 \(line 8\), column 'grade': '2026-01-04' is no grade: a whole number from 0 to 4"),
    "a grade of 5": ("p.csv", GOOD + "a,b,5\n", r"row 6 \(line 8\), column 'grade': '5' is no grade"),
    "half a grade": ("p.csv", GOOD + "a,b,3.5\n", r"row 6 \(line 8\), column 'grade': '3.5' is no grade"),
    "an infinite grade": ("p.csv", GOOD + "a,b,inf\n", r"row 6 \(line 8\), column 'grade': 'inf' is no grade"),
    "a comma in a grade": ("p.csv", GOOD + 'a,b,"3,0"\n', r"row 6 \(line 8\), column 'grade': '3,0' is no grade"),
    "no grade": ("p.csv", GOOD + "a,b,\n", r"row 6 \(line 8\), column 'grade': the pair has no grade: give"),
    "no member": ("p.csv", GOOD + ",b,1\n", r"row 6 \(line 8\), column 'member': the member has no text: fill"),
    "a candidate of dots": ("p.csv", GOOD + "a, \u00a0 ,1\n", r"row 6 \(line 8\), column 'candidate': the candidate has no text"),
    "no column of grades": ("p.csv", "member,candidate\na,b\n", r"p\.csv: there is no column 'grade' .*it has member, candidate: name it"),
    "a column by another name": ("p.csv", "query,candidate,grades\na,b,1\n", r"there is no column 'member' and no member\.FIELD"),
    "text and fields": ("p.csv", "member,member.a,candidate,grade\na,a,b,1\n", r"has a column 'member' and member\.a too: keep"),
    "an unknown split": ("p.csv", "member,candidate,grade,split\na,b,1,dev\n", r"row 0 \(line 2\), column 'split': 'dev' is none of train, valid, test"),
    "no split in one row": ("p.csv", "member,candidate,grade,split\na,b,1,test\na,c,1,\n", r"row 1 \(line 3\), column 'split': is empty: write"),
    "two grades of one rater": ("p.csv", GOOD + "member 0,candidate 0,4\n", r"row 6 \(line 8\), column 'grade': 4, but row 0 grades the same pair 0: keep one"),
    "a line break in a cell": ("p.csv", GOOD + '"a\nb",c,1\nd,e,9\n', r"p\.csv: row 7 \(line 10\), column 'grade': '9' is no grade"),
    "no JSON": ("p.jsonl", '{"member": "a",}\n', r"p\.jsonl: row 0 \(line 1\), character 16: not JSON .*: write one object a line"),
    "a JSON list": ("p.jsonl", "[1]\n", r"p\.jsonl: row 0 \(line 1\): is not an object: write"),
    "a JSON name twice": ("p.jsonl", '{"member": "a", "member": "b"}\n', r"row 0 \(line 1\), column 'member': is there twice: delete"),
    "JSON without a number": ("p.jsonl", '{"grade": NaN}\n', r"row 0 \(line 1\): NaN is not a number of JSON: write null"),
    "a JSON number without an end": ("p.jsonl", '{"grade": 1e999, "member": "a", "candidate": "b"}\n', r"row 0 \(line 1\), column 'grade': inf is no grade"),
    "a JSON boolean": ("p.jsonl", '{"member": "a", "candidate": {"new": true}, "grade": 1}\n', r"row 0 \(line 1\), column 'candidate\.new': is true or false"),
    "a JSON surrogate": ("p.jsonl", '{"member": "\\ud800", "candidate": "b", "grade": 1}\n', r"row 0 \(line 1\), column 'member': half of a surrogate pair"),
    "a JSON number as text": ("p.jsonl", '{"member": 5, "candidate": "b", "grade": 1}\n', r"row 0 \(line 1\), column 'member': 5 is not a text: write"),
    "JSON too deep": ("p.jsonl", '{"member": ' + "[" * 100_000 + "\n", r"row 0 \(line 1\): .*nested too deep"),
    "no Parquet": ("p.parquet", GOOD, r"p\.parquet: not a readable Parquet file"),
    "a cut Parquet": ("p.parquet", three()[:200], r"p\.parquet: not a readable Parquet file"),
    "Parquet with dates": ("p.parquet", three(grade=[datetime.date(2026, 1, 4)] * 2), r"p\.parquet: row 0, column 'grade': datetime\.date\(2026, 1, 4\) is no grade"),
    "Parquet with NaN": ("p.parquet", three(grade=[1.0, float("nan")]), r"p\.parquet: row 1, column 'grade': nan is no grade"),
    "Parquet with a list of lists": ("p.parquet", three(**{"member": [{"a": [["x"]]}] * 2}), r"row 0, column 'member\.a': is a list in a list"),
    "Parquet with a date as a field": (
        "p.parquet",
        parquet({"member": ["a"], "candidate.from": [datetime.date(2026, 1, 4)], "grade": [1]}),
        r"p\.parquet: row 0, column 'candidate\.from': is a date",
    ),
    "ids with a fraction": ("p.parquet", three(member_id=[1.5, 2.0]), r"row 0, column 'member_id': 1\.5 is neither a text nor"),
    "an unknown ending": ("p.xlsx", b"PK\x03\x04", r"p\.xlsx has an unknown ending '\.xlsx': name a file"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), CASES.values(), ids=CASES.keys())
def test_a_broken_file_is_one_sentence_and_nothing_is_written(
    name: str, content: bytes | str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        made(tmp_path, name, content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", GOOD),
        ("p.csv", "\ufeff" + GOOD.replace("\n", "\r\n")),
        ("p.CSV", GOOD.replace(",1\n", ', "1"\n').replace(', "', ',"') + "\n\n"),
        ("p.tsv", GOOD.replace(",", "\t")),
        ("p.jsonl", '{"member": "a", "candidate": "x", "grade": 4}\n\n{"member": "b", "candidate": "y", "grade": "0"}'),
        ("p.parquet", three()),
        ("p.parquet", three(grade=[1.0, 4.0], member_id=[1, 2])),
        ("p.parquet", three(member=[{"skills": ["x", None], "years": 0}] * 2)),
    ],
)
def test_a_good_file_makes_a_product(name: str, content: bytes | str, tmp_path: Path) -> None:
    made(tmp_path, name, content)
    assert (tmp_path / "shop" / "product.toml").exists()


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    order: dict[str, Any] = {"policy": None, "candidates": None, "columns": {}, "encoder": None, "hours": 1.0}
    for path, words in ((tmp_path / "none.csv", "none.csv does not exist"), (tmp_path, "is a folder: name a file")):
        with pytest.raises(UserError, match=words):
            new_product(Order(tmp_path / "shop", pairs=path, log=None, **order), lambda _: 1000.0)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("list_id,member_id,candidate_id,position,action\ns,1,a,1,click\ns,2,b,2,\n", "row 1 .*'list_id': row 0 has another"),
        ("list_id,member_id,candidate_id,position,action\ns,1,a,1,click\ns,1,b,1,\n", "row 1 .*'position': row 0 of the list"),
        ("list_id,member_id,candidate_id,position,action\ns,1,a,0,click\n", "row 0 .*'position': '0' is no position"),
        ("list_id,member_id,candidate_id,position,action\ns,1,a,,click\n", "row 0 .*'position': is empty"),
        ("list_id,member_id,candidate_id,position,action\ns,9,a,1,click\n", "row 0 .*'member_id': '9' is not among the pairs"),
        ("list_id,member_id,candidate_id,position,action\n,1,a,1,click\n", "row 0 .*'list_id': is empty: give"),
        ("list_id,member_id,candidate_id,time,action\ns,1,a,yesterday,click\n", "row 0 .*'time': 'yesterday' is no time"),
        ("list_id,member_id,candidate_id,shown,click\ns,1,a,3,4\n", "row 0 .*'click': 4 is no count of the 3 times shown"),
        ("list_id,member_id,candidate_id,position\ns,1,a,1\n", "no row has an action"),
        ("member_id,candidate_id,position,action\n1,a,1,click\n", "there is no column 'list_id'"),
    ],
)  # fmt: skip
def test_a_broken_log_is_one_sentence(log: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(log)
    pairs = "member_id,member,candidate_id,candidate,grade\n1,x,a,lamp,1\n2,y,b,mug,2\n"
    with pytest.raises(UserError, match=words) as caught:
        made(tmp_path, "pairs.csv", pairs, log=tmp_path / "log.csv")
    assert str(caught.value).startswith("log.csv: ")


def test_a_column_is_used_under_another_name(tmp_path: Path) -> None:
    text = GOOD.replace("member,", "query,", 1).replace("grade", "stars")
    made(tmp_path, "p.csv", text, columns={"query": "member", "stars": "grade"})
    assert '"stars" = "grade"' in (tmp_path / "shop" / "product.toml").read_text()
    (tmp_path / "shop" / "product.toml").unlink()
    with pytest.raises(UserError, match=r"--map typo=member: no file has a column 'typo'; there are p\.csv: query"):
        made(tmp_path, "p.csv", text, columns={"typo": "member"})
