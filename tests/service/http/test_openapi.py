"""/openapi.json: what callers generate their clients from."""

from typing import Any

import pytest

from service.http import schemas
from tests.service.conftest import Running


@pytest.fixture
def document(usual: Running) -> dict[str, Any]:
    found: dict[str, Any] = usual.client.get("/openapi.json").json()
    return found


def test_every_route_of_the_contract_is_there(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        "/score", "/rerank", "/candidates", "/candidates:progress", "/candidates/{candidate_id}", "/v1/models",
        "/v1/models/{version}:activate", "/v1/models/{version}:rollback",
        "/v1/models/{version}:shadow", "/v1/models/{version}:canary", "/livez", "/readyz", "/startupz", "/metrics",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/score", "/rerank"])
def test_scoring_routes_name_every_error_of_the_contract_as_a_problem(document: dict[str, Any], path: str) -> None:
    responses = document["paths"][path]["post"]["responses"]
    for code in (400, 401, 403, 413, 415, 422, 429, 431, 500, 503, 504):
        content = responses[str(code)]["content"]
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


@pytest.mark.parametrize("name", ["ScoreRequest", "ScoreResponse", "RerankRequest", "RerankResponse"])
def test_both_directions_have_examples_that_fit_their_schema(document: dict[str, Any], name: str) -> None:
    examples = document["components"]["schemas"][name]["examples"]
    model = getattr(schemas, name)
    assert all(model.model_validate(each) for each in examples)


def test_the_example_of_score_can_be_sent_as_it_is(usual: Running) -> None:
    answer = usual.client.post("/score", json=schemas.EXAMPLE)
    assert answer.status_code == 200
    schemas.ScoreResponse.model_validate(answer.json())


def test_the_example_of_rerank_can_be_sent_as_it_is(usual: Running) -> None:
    answer = usual.client.post("/rerank", json=schemas.RERANK)
    schemas.RerankResponse.model_validate(answer.json())
