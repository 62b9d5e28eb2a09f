"""/openapi.json, from which callers generate their clients."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.http import schemas
from service.http.compat import schemas as rerank_schemas
from tests.support.service import Running


@pytest.fixture
def document(usual: Running) -> dict[str, Any]:
    found: dict[str, Any] = usual.client.get("/openapi.json").json()
    return found


def test_the_document_has_every_route(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        "/score", "/rerank", "/candidates", "/candidates:progress", "/candidates/{candidate_id}", "/v1/models",
        "/v1/models/{version}:activate", "/v1/models/{version}:rollback",
        "/v1/models/{version}:shadow", "/v1/models/{version}:canary",
        "/v1/models/{name}/{version}:activate", "/v1/models/{name}/{version}:rollback",
        "/v1/models/{name}/{version}:shadow", "/v1/models/{name}/{version}:canary",
        "/livez", "/readyz", "/startupz", "/metrics",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/score", "/rerank"])
def test_scoring_operations_document_every_error_as_a_problem(document: dict[str, Any], path: str) -> None:
    responses = document["paths"][path]["post"]["responses"]
    for code in (400, 401, 403, 413, 415, 422, 429, 431, 500, 503, 504):
        content = responses[str(code)]["content"]
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def codes(document: dict[str, Any], method: str, path: str) -> dict[str, list[str]]:
    """The problem types that an operation documents, by status."""
    responses = document["paths"][path][method]["responses"]
    return {status: re.findall(r"`([a-z-]+)`", each["description"]) for status, each in responses.items()}


def test_each_operation_describes_the_problems_that_it_can_answer_with(document: dict[str, Any]) -> None:
    score = codes(document, "post", "/score")
    assert sorted(score["400"]) == ["bad-request", "not-json"]
    assert sorted(score["503"]) == ["crowded", "not-ready", "not-recorded", "overloaded"]
    assert score["504"] == ["deadline-passed"]
    assert sorted(codes(document, "put", "/candidates")["503"]) == ["crowded", "overloaded", "store-unavailable"]
    assert codes(document, "put", "/candidates")["507"] == ["store-full"]
    assert sorted(codes(document, "delete", "/candidates/{candidate_id}")["503"]) == ["crowded", "store-unavailable"]
    assert codes(document, "post", "/v1/models/{version}:rollback")["409"] == ["conflict"]
    assert codes(document, "get", "/v1/models")["400"] == ["bad-request"]
    assert "422" not in codes(document, "get", "/v1/models")


def schemas_within(found: Any) -> Iterator[dict[str, Any]]:
    """All objects of a document, at any depth."""
    if isinstance(found, dict):
        yield found
    for each in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from schemas_within(each)


def test_no_two_values_of_an_enumeration_differ_in_case_alone(document: dict[str, Any]) -> None:
    """They would get one name in a generated client, and some generators end there."""
    enumerations = [each["enum"] for each in schemas_within(document) if isinstance(each.get("enum"), list)]
    assert len(enumerations) > 5
    for values in enumerations:
        assert len({str(value).lower() for value in values}) == len(values), values


def test_a_parameter_of_a_path_has_one_type(document: dict[str, Any]) -> None:
    found = [each for each in schemas_within(document["paths"]) if each.get("in") == "path"]
    assert {each["name"] for each in found} == {"version", "name", "candidate_id"}
    assert {each["schema"].get("type") for each in found} == {"string"}


def test_every_operation_has_a_group(document: dict[str, Any]) -> None:
    found = {path: each["tags"] for path, methods in document["paths"].items() for each in methods.values()}
    assert found["/score"] == ["scoring"]
    assert found["/v1/models/{version}:activate"] == ["models"]
    assert found["/readyz"] == ["operations"]


def test_a_key_is_documented_for_all_but_probes_and_metrics(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == (operation["tags"] != ["operations"]), path


def test_no_operation_promises_errors_in_another_shape(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)


def test_scoring_operations_document_the_deadline_header(document: dict[str, Any]) -> None:
    for path in ("/score", "/rerank"):
        (header,) = document["paths"][path]["post"]["parameters"]
        assert (header["name"], header["in"]) == ("X-Deadline-Ms", "header")
        assert header["schema"] == {"type": "integer", "minimum": 1, "maximum": 600_000}


@pytest.mark.parametrize("name", ["ScoreRequest", "ScoreResponse", "RerankRequest", "RerankResponse"])
def test_requests_and_responses_have_valid_examples(document: dict[str, Any], name: str) -> None:
    examples = document["components"]["schemas"][name]["examples"]
    model = getattr(rerank_schemas if name.startswith("Rerank") else schemas, name)
    assert all(model.model_validate(each) for each in examples)


def test_the_example_of_score_can_be_sent(usual: Running) -> None:
    answer = usual.client.post("/score", json=schemas.EXAMPLE)
    assert answer.status_code == 200
    schemas.ScoreResponse.model_validate(answer.json())


def test_the_example_of_rerank_can_be_sent(usual: Running) -> None:
    answer = usual.client.post("/rerank", json=rerank_schemas.RERANK)
    rerank_schemas.RerankResponse.model_validate(answer.json())
