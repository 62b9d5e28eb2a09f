"""Options of POST /rerank: each is honoured, or named in a warning, or refused."""

from typing import Any

import pytest

from service.http.compat.rerank import request_of
from service.http.compat.schemas import RerankRequest
from service.request import Priority
from tests.support.service import Running

QUERY = "data engineer python"
LONG = ["chef " * 40 + "data engineer", "data engineer " + "chef " * 40]
"""The model reads 16 tokens of each."""


def rerank(running: Running, **body: object) -> dict[str, Any]:
    answer = running.client.post("/rerank", json={"query": QUERY, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def score(running: Running, document: object, **options: object) -> float:
    """The score of one document with options."""
    found: float = rerank(running, documents=[document], **options)["results"][0]["relevance_score"]
    return found


def warnings(running: Running, **body: object) -> list[str]:
    found: list[str] = rerank(running, **{"documents": ["chef"], **body})["meta"].get("warnings", [])
    return found


def fault(running: Running, **body: object) -> tuple[int, list[str]]:
    """The status, and the pointers of the faults."""
    answer = running.client.post("/rerank", json={"query": QUERY, **body})
    errors = answer.json()["errors"] if answer.status_code == 422 else []
    return answer.status_code, [each["pointer"] for each in errors]


def test_of_documents_with_rank_fields_these_alone_are_read(usual: Running) -> None:
    document = {"title": "pastry chef", "keywords": "data engineer", "text": "python spark"}
    assert score(usual, document, rank_fields=["title"]) == score(usual, {"title": "pastry chef"})
    assert score(usual, document, rank_fields=["text"]) == score(usual, "python spark")
    sentence = {"text": "python. spark.", "id": "7"}
    assert score(usual, sentence, rank_fields=["text"]) == score(usual, "python. spark.")
    assert score(usual, document, rank_fields=["title", "text"]) == score(usual, "pastry chef. python spark")
    assert warnings(usual, documents=[document], rank_fields=["title", "text"]) == []
    assert score(usual, {"fields": document}, rank_fields=["title"]) == score(usual, {"title": "pastry chef"})
    odd = {"title": "pastry chef", "image": "https://example.org/a.png", "sold": True, "seller": {"name": "x"}}
    assert score(usual, odd, rank_fields=["title"]) == score(usual, {"title": "pastry chef"})


def test_lists_and_numbers_of_a_document_are_read_as_those_of_fields(usual: Running) -> None:
    for values in ({"title": ["data", "engineer"]}, {"title": ["data", None, 7], "years": 3, "note": None}):
        assert score(usual, values) == score(usual, {"fields": values})
        assert score(usual, values) != score(usual, {"title": "chef"})


@pytest.mark.parametrize("value", [{"kind": "chef"}, True, [True], [["chef"]], [{"kind": "chef"}]])
def test_a_document_with_a_value_that_is_no_text_is_refused(usual: Running, value: object) -> None:
    assert fault(usual, documents=["chef", {"title": "chef", "attrs": value}]) == (422, ["/documents/1"])


MEDIA: list[tuple[dict[str, object], str]] = [
    ({"image": "https://example.org/mouse.png"}, "/image"),
    ({"text": "a mouse", "image": "https://example.org/mouse.png"}, "/image"),
    ({"type": "image_url", "image_url": {"url": "https://example.org/mouse.png"}}, "/image_url"),
    ({"images": ["aGVsbG8="]}, "/images"),
    ({"video": "https://example.org/mouse.mp4"}, "/video"),
    ({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ""),
]


@pytest.mark.parametrize(("part", "below"), MEDIA)
def test_an_image_is_refused(usual: Running, part: dict[str, object], below: str) -> None:
    assert fault(usual, documents=[part, "chef"]) == (422, [f"/documents/0{below}"])


def test_of_a_long_document_the_chosen_side_is_read(usual: Running) -> None:
    end, start = "chef " * 14 + "data engineer", "data engineer " + "chef " * 14
    plain, left, right = (
        [score(usual, text, truncation_direction=side) for text in LONG] for side in (None, "Left", "right")
    )
    assert plain == right
    assert left[0] == score(usual, end)
    assert plain[1] == score(usual, start)
    assert len({plain[0], left[0]}) == len({plain[1], left[1]}) == 2


def test_no_more_tokens_are_read_than_the_caller_says(usual: Running) -> None:
    text = "data engineer pastry chef"
    assert score(usual, text, max_tokens_per_doc=2) == score(usual, "data engineer")
    assert score(usual, text, max_tokens_per_doc=2, truncation_direction="Left") == score(usual, "pastry chef")
    assert score(usual, text, max_tokens_per_doc=4096) == score(usual, text)
    assert score(usual, text) != score(usual, "data engineer")


@pytest.mark.parametrize("name", ["truncate", "truncation"])
def test_a_text_that_must_not_be_cut_is_refused(usual: Running, name: str) -> None:
    assert fault(usual, texts=["chef", *LONG], **{name: False}) == (422, ["/texts/1", "/texts/2"])
    assert fault(usual, documents=[LONG[0]], **{name: False}) == (422, ["/documents/0"])
    assert fault(usual, documents=["data chef"], max_tokens_per_doc=1, **{name: False}) == (422, ["/documents/0"])
    assert fault(usual, texts=["chef"], **{name: False}) == (200, [])
    assert fault(usual, texts=LONG, **{name: True}) == (200, [])


def test_top_k_is_another_name_of_top_n(usual: Running) -> None:
    assert len(rerank(usual, documents=["chef", "nurse", "data"], top_k=2)["results"]) == 2
    assert fault(usual, documents=["chef"], top_k=2, top_n=1)[0] == 422


@pytest.mark.parametrize("value", [True, "1", 0, -1, 1.5])
@pytest.mark.parametrize("name", ["top_n", "top_k", "max_tokens_per_doc", "max_chunks_per_doc"])
def test_a_number_that_is_none_is_refused(usual: Running, name: str, value: object) -> None:
    assert fault(usual, documents=["chef"], **{name: value}) == (422, [f"/{name}"])


def test_raw_scores_count_for_documents_too(usual: Running) -> None:
    assert score(usual, "pastry chef", raw_scores=True) < 0 < score(usual, "pastry chef")


def test_what_has_no_effect_is_named_in_a_warning(usual: Running) -> None:
    assert warnings(usual) == []
    assert warnings(usual, model="x", top_n=1, return_documents=True, user=None, priority="critical") == []
    (warning,) = warnings(usual, instruction="be kind", max_doc_length=7)
    assert warning == "options that have no effect: instruction, max_doc_length"
    assert "max_chunks_per_doc" in warnings(usual, max_chunks_per_doc=10)[0]
    assert "return_text" in warnings(usual, return_text=True)[0]
    assert "rank_fields" in warnings(usual, rank_fields=["title"])[0]
    assert "rank_fields" in warnings(usual, documents=[{"text": "chef", "title": "pastry"}])[0]
    assert warnings(usual, documents=[{"text": "chef", "id": 7}]) == []


def test_what_is_cut_and_what_the_model_was_trained_without_is_named_in_a_warning(usual: Running) -> None:
    assert warnings(usual, documents=["chef", *LONG]) == ["documents that are cut to 16 tokens: 1, 2"]
    assert warnings(usual, query="chef " * 20) == ["the query is cut: 16 of 20 tokens are read"]
    (warning,) = warnings(usual, documents=[{"title": "chef"}, {"title": "chef", "skils": "bake"}])
    assert warning == "documents with fields that the model was trained without (skils): 1"
    (warning,) = warnings(usual, documents=["无线鼠标 chef"])
    assert warning == "documents with many tokens that are not in the model's vocabulary: 0"


def test_a_warning_names_a_few_of_many_documents(usual: Running) -> None:
    (warning,) = warnings(usual, documents=LONG * 20)
    assert warning.endswith(", 18, 19 and 20 more")


def test_tokens_are_stated_as_jina_does(usual: Running) -> None:
    answer = rerank(usual, query="data engineer", documents=["chef", "senior data engineer", "chef " * 40, ""])
    assert answer["usage"] == {"total_tokens": 2 + 1 + 3 + 16}


def test_a_deadline_and_a_priority_in_the_body_count(usual: Running) -> None:
    limits = usual.app.context.limits
    answer = usual.client.post("/rerank", json={"query": QUERY, "documents": ["chef"], "deadline_ms": 1})
    assert answer.status_code in (503, 504) or limits.deadline(0.0, 1) == 0.001
    for name, value in (("deadline_ms", 0), ("deadline_ms", "soon"), ("priority", "urgent"), ("priority", True)):
        assert fault(usual, documents=["chef"], **{name: value}) == (422, [f"/{name}"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, Priority.default),
        (1, Priority.sheddable),
        (999, Priority.sheddable),
        (-1, Priority.critical),
        ("sheddable", Priority.sheddable),
        (None, Priority.default),
    ],
)
def test_a_priority_may_be_a_number_as_cohere_and_vllm_have_it(
    usual: Running, given: object, expected: Priority
) -> None:
    body = RerankRequest.model_validate({"query": QUERY, "documents": ["chef"], "priority": given})
    assert request_of(body, [], deadline=1.0).priority is expected
    for path in ("/v2/rerank", "/vllm/rerank"):
        asked = {"query": QUERY, "documents": ["chef"], "priority": given}
        assert usual.client.post(path, json=asked).status_code == 200
