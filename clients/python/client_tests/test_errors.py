"""Errors: their tree, what they hold, and what they never show."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

import fitscore_client
from client_tests.fake_service import Answer, World, in_turn
from fitscore_client import Candidate, Client, FieldError, FitscoreError, Problem, UnexpectedAnswer
from fitscore_client.errors import error_of, retry_after_s

SECRET = "Zanzibar"


def answered(status: int, body: object = None, **headers: str) -> FitscoreError:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return error_of(httpx.Response(status, headers={"Content-Type": "application/problem+json", **named}, json=body))


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "InvalidRequest"), (401, "NotAllowed"), (403, "NotAllowed"), (404, "NotFound"), (409, "Conflict"),
        (413, "TooLarge"), (422, "InvalidRequest"), (429, "QuotaSpent"), (500, "InternalError"), (502, "InternalError"),
        (503, "Unavailable"), (504, "DeadlinePassed"), (507, "StoreFull"),
    ],
)  # fmt: skip
def test_each_status_has_its_error(status: int, name: str) -> None:
    assert type(answered(status)) is getattr(fitscore_client, name)


def test_a_problem_keeps_what_the_service_says() -> None:
    listed = [{"pointer": "/member", "detail": "give exactly one of fields and text"}, "odd"]
    body = {"type": "urn:fitscore:invalid", "title": "T", "detail": "D", "errors": listed, "request_id": "r-7"}
    error = answered(422, body, Retry_After="4")
    assert isinstance(error, Problem)
    assert (error.status, error.type, error.title, error.detail) == (422, "urn:fitscore:invalid", "T", "D")
    assert error.errors == (FieldError("/member", "give exactly one of fields and text"),)
    assert (error.request_id, error.retry_after_s) == ("r-7", 4.0)
    assert str(error) == "422 urn:fitscore:invalid (request r-7)"


@pytest.mark.parametrize("body", [None, [], "text", {"type": 5, "errors": 3}])
def test_a_problem_of_another_shape_is_still_an_error(body: object) -> None:
    assert isinstance(answered(503, body), fitscore_client.Unavailable)


def test_the_page_of_a_proxy_is_not_read_as_a_problem() -> None:
    error = error_of(httpx.Response(502, html=f"<h1>{SECRET}</h1>"))
    assert isinstance(error, Problem)
    assert (str(error), error.type) == ("502", "about:blank")


@pytest.mark.parametrize("answer", [Answer(302), Answer(200, body=[1]), Answer(200, body={"scores": 3}), Answer(204)])
def test_an_answer_of_another_shape_is_unexpected(world: World, answer: Answer) -> None:
    world.script = in_turn(answer)
    with pytest.raises(UnexpectedAnswer):
        world.score()


REFLECTING = Answer(
    422,
    {"type": f"urn:{SECRET}", "title": SECRET, "detail": SECRET, "request_id": f"<{SECRET}>"},
    headers={"Content-Type": "application/problem+json"},
)
FAILING = (REFLECTING, Answer(500, SECRET), Answer(404), Answer(error=httpx.ReadError), Answer(after_s=99))
CALLS = {"score": (SECRET, [Candidate(SECRET, SECRET)]), "upsert": ([Candidate(SECRET, SECRET)],), "delete": (SECRET,)}


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        *((name, answer) for name in CALLS for answer in FAILING),
        *((name, Answer(200, SECRET)) for name in ("score", "upsert")),
    ],
)
def test_no_text_id_or_key_is_in_an_error_or_its_traceback(world: World, operation: str, answer: Answer) -> None:
    world.script = lambda _: answer
    with pytest.raises(FitscoreError) as caught:
        world.do(operation, *CALLS[operation], client_api_key=SECRET)
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_a_text_that_is_not_unicode_is_refused_without_showing_it(world: World) -> None:
    with pytest.raises(ValueError, match="not valid Unicode") as caught:
        world.do("score", f"{SECRET}\ud800", [])
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert world.sent == []


def test_the_key_goes_into_the_header_and_nowhere_else(world: World) -> None:
    world.score(client_api_key=SECRET)
    assert world.sent[0].request.headers["Authorization"] == f"Bearer {SECRET}"
    with Client("http://fit", api_key=SECRET) as client:
        assert SECRET not in repr(client)
    assert SECRET not in repr(Candidate("a", SECRET))


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < (retry_after_s(later) or 0) <= 60
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


@pytest.mark.parametrize("header", [None, "", "soon", "-3", "1e9", "inf", "1234567890", "Wed, 99 Oct 2015"])
def test_an_unreadable_retry_after_is_none(header: str | None) -> None:
    assert retry_after_s(header) is None
