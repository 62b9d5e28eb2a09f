"""Batch files: a request is in one file once, good answers are kept, and a bad one is named by row and column."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.batches import Line, answer_to, answers_for, completed, expired, requests_in, write_lines, written
from tests.support.chat_server import ChatServer, grade_of
from tests.support.judging import PAIRS, PLENTY, PROMPT
from training.judging.answer_cache import Answer, AnswerCache, Spending
from training.judging.batch_files import BadBatch, BatchFiles, read_batch
from training.judging.llm_client import Endpoint
from training.judging.llm_judge import JudgePlan, TextPair, judge_pair, judge_pairs, read_verdicts

ENDPOINT = Endpoint("http://x/v1", "small", dollars_in=1.0, dollars_out=2.0)


@contextmanager
def cache(folder: Path, budget: Spending = PLENTY) -> Iterator[AnswerCache]:
    with AnswerCache(folder / "judge.sqlite", budget) as answers:
        yield answers


def ask(
    folder: Path,
    pairs: Sequence[TextPair] = PAIRS,
    *,
    budget: Spending = PLENTY,
    endpoint: Endpoint = ENDPOINT,
    die: bool = False,
    most_requests: int = 50_000,
) -> list[str]:
    """One run: statuses in order, and files in `folder`. `die`: the process ends before its files are written."""
    with cache(folder, budget) as answers:
        files = BatchFiles(endpoint, answers, folder, most_requests)

        async def judged() -> list[str]:
            found = [await judge_pair(pair, PROMPT, 3, files) for pair in pairs]
            for each in found:
                for name, verdict in each.verdicts.items():
                    assert verdict.grade == grade_of(each.pair.member, each.pair.candidate, name)
            return [each.status for each in found]

        statuses = asyncio.run(judged())
        if not die:
            files.close()
        return statuses


def check(answer: Answer) -> object:
    return read_verdicts(answer, PROMPT)


def read(folder: Path, path: Path, *, lost: bool = False) -> int:
    with cache(folder) as answers:
        return read_batch(path, [ENDPOINT], answers, folder, check, lost=lost)


def refused(folder: Path, path: Path) -> tuple[str, ...]:
    with pytest.raises(BadBatch) as caught:
        read(folder, path)
    return caught.value.problems


def spent(folder: Path) -> Spending:
    with cache(folder) as answers:
        return answers.spent()


def test_requests_go_out_and_answers_come_in(tmp_path: Path) -> None:
    assert ask(tmp_path) == ["in a batch"] * len(PAIRS)
    (path,) = written(tmp_path)
    requests = requests_in(path)
    assert len({line["custom_id"] for line in requests}) == len(PAIRS)
    assert {(line["method"], line["url"], line["body"]["model"]) for line in requests} == {
        ("POST", "/v1/chat/completions", "small")
    }
    assert read(tmp_path, answers_for(path, tmp_path / "out.jsonl")) == len(PAIRS)
    assert ask(tmp_path) == ["graded"] * len(PAIRS)
    assert spent(tmp_path).tokens == 960 * len(PAIRS)
    assert spent(tmp_path).dollars == pytest.approx((900 + 120) / 1e6 * len(PAIRS))


def test_a_request_is_in_one_file_however_often_the_command_runs(tmp_path: Path) -> None:
    ask(tmp_path, PAIRS[:5])
    ask(tmp_path, PAIRS[:5])
    ask(tmp_path)
    first, second = written(tmp_path)
    assert len(requests_in(first)) == 5
    assert len(requests_in(second)) == len(PAIRS) - 5
    ids = [line["custom_id"] for path in (first, second) for line in requests_in(path)]
    assert len(set(ids)) == len(PAIRS)


def test_a_file_that_was_moved_to_be_sent_is_not_written_again(tmp_path: Path) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    path.rename(tmp_path / "sent.jsonl")
    assert ask(tmp_path) == ["in a batch"] * len(PAIRS)
    assert list(written(tmp_path)) == []


def test_a_run_that_dies_before_its_file_is_complete_loses_no_request(tmp_path: Path) -> None:
    ask(tmp_path, PAIRS[:5], die=True)
    assert list(written(tmp_path)) == []
    ask(tmp_path)
    (path,) = written(tmp_path)
    assert len(requests_in(path)) == len(PAIRS)


def test_a_batch_holds_at_most_its_number_of_requests(tmp_path: Path) -> None:
    ask(tmp_path, most_requests=5)
    assert [len(requests_in(path)) for path in written(tmp_path)] == [5, 5, 2]


def test_two_models_have_files_of_their_own(tmp_path: Path) -> None:
    ask(tmp_path)
    ask(tmp_path, endpoint=replace(ENDPOINT, model="large"))
    assert [{line["body"]["model"] for line in requests_in(path)} for path in written(tmp_path)] == [
        {"small"},
        {"large"},
    ]


def test_what_an_endpoint_answered_goes_into_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with ChatServer() as server:
        endpoint = Endpoint(server.url, "small", requests_per_second=1000)
        with cache(tmp_path) as answers:
            asyncio.run(judge_pairs(PAIRS[:5], PROMPT, JudgePlan(endpoint), answers))
        assert ask(tmp_path, endpoint=endpoint) == ["graded"] * 5 + ["in a batch"] * (len(PAIRS) - 5)


def test_the_budget_holds_for_files_too(tmp_path: Path) -> None:
    at_most = ENDPOINT.at_most(PROMPT.messages(PAIRS[0].member, PAIRS[0].candidate)).tokens
    statuses = ask(tmp_path, budget=Spending(int(3.5 * at_most), 100.0))
    assert (statuses.count("in a batch"), statuses.count("over budget")) == (3, len(PAIRS) - 3)
    (path,) = written(tmp_path)
    assert len(requests_in(path)) == 3


def test_reading_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    answers = answers_for(path, tmp_path / "out.jsonl")
    read(tmp_path, answers)
    before = spent(tmp_path)
    assert read(tmp_path, answers) == 0
    assert spent(tmp_path) == before


Edit = Callable[[list[Line], list[Line]], list[Line]]
FOREIGN = {"custom_id": "of-another-run", "response": {"status_code": 200, "body": {}}, "error": None}
BAD: dict[str, tuple[Edit, str, int]] = {
    "doubled": (
        lambda good, _: [*good, good[0]],
        "out.jsonl: row 13, column 'custom_id': a second answer to the request of row 1; the first counts",
        12,
    ),
    "foreign": (
        lambda good, _: [*good[:3], FOREIGN, *good[3:]],
        "out.jsonl: row 4, column 'custom_id': no batch of this recipe has such a request",
        12,
    ),
    "without an id": (
        lambda good, _: [{"response": {}}, *good],
        "out.jsonl: row 1, column 'custom_id': no batch of this recipe has such a request",
        12,
    ),
    "with a number as id": (
        lambda good, _: [{"custom_id": 7}, *good],
        "out.jsonl: row 1, column 'custom_id': no batch of this recipe has such a request",
        12,
    ),
    "missing": (
        lambda good, _: good[:10],
        "batch-00001.jsonl: row 11, column 'custom_id': out.jsonl has no answer to this request, and to 2 of the batch",
        10,
    ),
    "expired": (
        lambda good, asked: [*good[:11], expired(asked[11])],
        "out.jsonl: row 12, column 'response': no answer (status None, batch_expired); the next batch asks again",
        11,
    ),
    "refused": (
        lambda good, asked: [*good[:11], {**good[11], "response": {"status_code": 400, "body": {}}}],
        "out.jsonl: row 12, column 'response': no answer (status 400, None); the next batch asks again",
        11,
    ),
    "no JSON from the model": (
        lambda good, asked: [*good[:11], completed(asked[11], "A fine match.")],
        "out.jsonl: row 12, column 'response': the answer cannot be used (the answer: json_invalid)",
        11,
    ),
    "outside the grades": (
        lambda good, asked: [*good[:11], answer_to(asked[11], skills={"reason": "x", "grade": 5})],
        "out.jsonl: row 12, column 'response': the answer cannot be used (skills.grade: outside the policy's 0 to 4)",
        11,
    ),
    "cut off": (
        lambda good, asked: [*good[:11], completed(asked[11], "{}", finish="length")],
        "out.jsonl: row 12, column 'response': the answer cannot be used (cut off)",
        11,
    ),
    "no completion": (
        lambda good, _: [*good[:11], {**good[11], "response": {"status_code": 200, "body": {"choices": 3}}}],
        "out.jsonl: row 12, column 'response': the answer cannot be used (no content (broken))",
        11,
    ),
}


@pytest.mark.parametrize(("edit", "sentence", "graded"), BAD.values(), ids=BAD)
def test_a_bad_answer_is_named_and_the_good_ones_are_kept(
    tmp_path: Path, edit: Edit, sentence: str, graded: int
) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    asked = requests_in(path)
    out = write_lines(tmp_path / "out.jsonl", edit([answer_to(line) for line in asked], asked))
    (problem,) = refused(tmp_path, out)
    assert problem.startswith(f"{tmp_path}/{sentence}")
    assert ask(tmp_path).count("graded") == graded


@pytest.mark.parametrize("line", ["{broken", "[]", "3", "\xff"])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    out = answers_for(path, tmp_path / "out.jsonl")
    out.write_bytes(line.encode("latin-1") + b"\n" + out.read_bytes())
    assert refused(tmp_path, out) == (f"{out}: row 1, column 'custom_id': the line is not a JSON object",)
    assert ask(tmp_path) == ["graded"] * len(PAIRS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path, tmp_path / "none.jsonl") == (f"{tmp_path}/none.jsonl: cannot be read (FileNotFoundError)",)


def test_another_answer_to_an_answered_request_is_named(tmp_path: Path) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    read(tmp_path, answers_for(path, tmp_path / "out.jsonl"))
    other = answers_for(path, tmp_path / "other.jsonl", lambda line: answer_to(line, role={"reason": "x", "grade": 0}))
    assert len(refused(tmp_path, other)) == len(PAIRS)
    assert ask(tmp_path) == ["graded"] * len(PAIRS)


def test_a_missing_answer_is_not_asked_again_before_it_is_given_up(tmp_path: Path) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    out = write_lines(tmp_path / "out.jsonl", [answer_to(line) for line in requests_in(path)[:10]])
    refused(tmp_path, out)
    assert ask(tmp_path).count("in a batch") == 2
    assert len(list(written(tmp_path))) == 1
    assert read(tmp_path, out, lost=True) == 0
    ask(tmp_path)
    _, second = written(tmp_path)
    assert len(requests_in(second)) == 2


def test_an_expired_request_costs_nothing_and_is_asked_again(tmp_path: Path) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    asked = requests_in(path)
    out = write_lines(tmp_path / "out.jsonl", [expired(asked[0]), *[answer_to(line) for line in asked[1:]]])
    refused(tmp_path, out)
    assert spent(tmp_path).tokens == 960 * (len(PAIRS) - 1)
    ask(tmp_path)
    _, second = written(tmp_path)
    assert [line["custom_id"] for line in requests_in(second)] == [asked[0]["custom_id"]]


def test_a_malformed_answer_is_asked_about_once_more_in_another_request(tmp_path: Path) -> None:
    ask(tmp_path)
    (path,) = written(tmp_path)
    asked = requests_in(path)
    out = write_lines(tmp_path / "out.jsonl", [completed(asked[0], "no"), *[answer_to(line) for line in asked[1:]]])
    refused(tmp_path, out)
    ask(tmp_path)
    _, second = written(tmp_path)
    (again,) = requests_in(second)
    assert again["custom_id"] != asked[0]["custom_id"]
    assert again["body"]["messages"][-1]["content"].startswith("Answer 1 could not be used")
    read(tmp_path, answers_for(second, tmp_path / "out2.jsonl"))
    assert ask(tmp_path) == ["graded"] * len(PAIRS)


def test_many_problems_are_counted_after_the_first(tmp_path: Path) -> None:
    ask(tmp_path)
    out = write_lines(tmp_path / "out.jsonl", [{"custom_id": str(n)} for n in range(30)])
    with pytest.raises(BadBatch) as caught:
        read(tmp_path, out)
    assert len(caught.value.problems) == 30
    assert str(caught.value).endswith("\nand 10 more")
    assert json.loads(out.read_text().splitlines()[0]) == {"custom_id": "0"}
