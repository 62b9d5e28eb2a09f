"""POST /rerank: the requests and responses of Cohere, Jina and TEI clients."""

import json
import math

import pytest

from service.http.compat.rerank import log_odds
from tests.support.service import Running

QUERY, DOCUMENTS = "data engineer python", ["pastry chef", "senior data engineer", "nurse ward"]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_cohere_and_jina_clients_get_results_best_first(usual: Running, path: str) -> None:
    body = {"model": "any", "query": QUERY, "documents": DOCUMENTS, "top_n": 2, "max_tokens_per_doc": 512}
    answer = usual.client.post(path, json=body).json()
    results = answer["results"]
    assert set(answer) == {"object", "id", "model", "results", "usage", "meta"}
    assert len(results) == 2
    assert results[0]["relevance_score"] >= results[1]["relevance_score"]
    assert all("document" not in each for each in results)


@pytest.mark.parametrize(("path", "version"), [("/rerank", "2"), ("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_the_meta_of_cohere_has_the_version_of_the_path_and_a_unit_for_100_documents(
    usual: Running, path: str, version: str
) -> None:
    for num, units in ((1, 1), (100, 1), (101, 2)):
        answer = usual.client.post(path, json={"query": QUERY, "documents": ["chef"] * num, "top_n": 1}).json()
        assert answer["meta"] == {"api_version": {"version": version}, "billed_units": {"search_units": units}}


def test_documents_are_returned_on_request(usual: Running) -> None:
    body = {"query": QUERY, "documents": [{"text": text, "id": 7} for text in DOCUMENTS], "return_documents": True}
    results = usual.client.post("/rerank", json=body).json()["results"]
    assert all(each["document"] == {"text": DOCUMENTS[each["index"]]} for each in results)
    assert sorted(each["index"] for each in results) == [0, 1, 2]


def test_tei_clients_get_a_bare_list(usual: Running) -> None:
    body = {"query": QUERY, "texts": DOCUMENTS, "return_text": True, "truncate": True}
    ranks = usual.client.post("/rerank", json=body).json()
    assert [each["score"] for each in ranks] == sorted((each["score"] for each in ranks), reverse=True)
    assert all(each["text"] == DOCUMENTS[each["index"]] for each in ranks)


def test_both_shapes_return_the_scores_of_score(usual: Running) -> None:
    cohere = usual.client.post("/rerank", json={"query": QUERY, "documents": DOCUMENTS}).json()["results"]
    tei = usual.client.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS}).json()
    candidates = [{"id": str(index), "text": text} for index, text in enumerate(DOCUMENTS)]
    scores = usual.score(member={"text": QUERY}, candidates=candidates).json()["scores"]
    expected = {index: pytest.approx(each["score"], abs=1e-6) for index, each in enumerate(scores)}
    assert {each["index"]: each["relevance_score"] for each in cohere} == expected
    assert {each["index"]: each["score"] for each in tei} == expected


def test_equal_documents_keep_their_order(usual: Running) -> None:
    ranks = usual.client.post("/rerank", json={"query": QUERY, "texts": ["chef"] * 4}).json()
    assert [each["index"] for each in ranks] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "body", [{"query": QUERY}, {"query": QUERY, "texts": [], "documents": None}, {"query": "", "texts": ["a"]}]
)
def test_a_body_without_query_or_documents_is_invalid(usual: Running, body: dict[str, object]) -> None:
    assert usual.client.post("/rerank", json=body).status_code == 422


def test_documents_may_be_objects_with_fields(usual: Running) -> None:
    fields = {"title": "senior data engineer", "description": "python platform"}
    body = {"query": QUERY, "documents": [fields, {"fields": fields}, {"text": "nurse"}], "return_documents": True}
    results = usual.client.post("/rerank", json=body).json()["results"]
    by_index = {each["index"]: each for each in results}
    assert by_index[0]["relevance_score"] == pytest.approx(by_index[1]["relevance_score"], abs=1e-6)
    assert by_index[0]["document"] == fields
    assert by_index[2]["relevance_score"] != by_index[0]["relevance_score"]


EMPTY = ["", " \n", "\u200b", "\u00ad\ufeff", "\x00", {}, {"title": None}, {"text": ""}, {"fields": {"title": [None]}}]


@pytest.mark.parametrize("empty", EMPTY)
def test_a_document_without_a_text_comes_last_with_the_score_0_and_a_warning(usual: Running, empty: object) -> None:
    answer = usual.client.post("/rerank", json={"query": QUERY, "documents": [empty, *DOCUMENTS]}).json()
    assert sorted(each["index"] for each in answer["results"]) == [0, 1, 2, 3]
    assert answer["results"][-1] == {"index": 0, "relevance_score": 0.0}
    (warning,) = answer["meta"]["warnings"]
    assert warning == "documents without a text that the model can read, which come last with the score 0: 0"


@pytest.mark.parametrize("top_n", [1, 2, 4, 9, None])
def test_there_is_a_result_for_each_document_up_to_top_n(usual: Running, top_n: int | None) -> None:
    body = {"query": QUERY, "documents": ["", *DOCUMENTS], "top_n": top_n}
    results = usual.client.post("/rerank", json=body).json()["results"]
    assert len({each["index"] for each in results}) == min(top_n or 4, 4)


def test_a_list_of_texts_with_an_empty_one_has_a_rank_for_each_and_a_warning_in_a_header(usual: Running) -> None:
    for raw, least in ((False, 0.0), (True, log_odds(0.0))):
        body = {"query": QUERY, "texts": ["", "chef", " "], "raw_scores": raw}
        answer = usual.client.post("/rerank", json=body)
        assert [each["index"] for each in answer.json()] == [1, 0, 2]
        assert [each["score"] for each in answer.json()][1:] == [least, least]
        (warning,) = json.loads(answer.headers["x-fitscore-warnings"])
        assert warning.endswith(": 0, 2")
    fine = usual.client.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS})
    assert "x-fitscore-warnings" not in fine.headers


def test_documents_without_any_text_are_answered_and_a_query_without_one_is_not(usual: Running) -> None:
    answer = usual.client.post("/rerank", json={"query": QUERY, "documents": ["", " "]})
    assert [each["relevance_score"] for each in answer.json()["results"]] == [0.0, 0.0]
    for query in (" ", "\u200b"):
        refused = usual.client.post("/rerank", json={"query": query, "documents": DOCUMENTS})
        assert refused.status_code == 422
        assert [each["pointer"] for each in refused.json()["errors"]] == ["/query"]
        assert refused.json()["detail"].startswith("/query ")


def test_raw_scores_are_log_odds_in_the_same_order(usual: Running) -> None:
    given = {"query": QUERY, "texts": DOCUMENTS}
    plain = usual.client.post("/rerank", json=given).json()
    raw = usual.client.post("/rerank", json={**given, "raw_scores": True}).json()
    assert [each["index"] for each in raw] == [each["index"] for each in plain]
    assert [1 / (1 + math.exp(-each["score"])) for each in raw] == pytest.approx([each["score"] for each in plain])


def test_nulls_in_optional_fields_are_accepted(usual: Running) -> None:
    unset = dict.fromkeys(["top_n", "return_documents", "max_tokens_per_doc", "rank_fields", "model", "texts"])
    answer = usual.client.post("/rerank", json={"query": QUERY, "documents": DOCUMENTS, **unset})
    assert len(answer.json()["results"]) == 3
