"""Ways to call that differ from the plain one and cost nothing: paths, encodings, keys, origins."""

import gzip
import json
import zlib

import pytest

from service.http.wire.compression import accepts_gzip
from tests.support.service import CANDIDATES, MEMBER, Running, Serve

BODY = json.dumps({"member": MEMBER, "candidates": CANDIDATES}).encode()
JSON = {"Content-Type": "application/json"}
ZIPPED = {**JSON, "Content-Encoding": "gzip"}


@pytest.mark.parametrize("path", ["/score/", "/score//"])
def test_a_slash_too_many_does_not_matter(usual: Running, path: str) -> None:
    assert usual.client.post(path, content=BODY, headers=JSON).json() == usual.score().json()


@pytest.mark.parametrize("path", ["/v1/rerank/", "/v2//rerank", "/rerank/"])
def test_nor_does_it_in_a_path_of_rerank(usual: Running, path: str) -> None:
    assert usual.client.post(path, json={"query": "chef", "documents": ["cook"]}).status_code == 200


def test_a_slash_belongs_to_an_id(serve: Serve) -> None:
    running = serve()
    stored = [{"id": "a/", "text": "chef"}, {"id": "a", "text": "cook"}]
    assert running.client.put("/candidates/", json={"candidates": stored}).status_code == 200
    assert running.client.delete("/candidates/a/").status_code == 204
    assert [each["status"] for each in running.score(candidates=[{"id": "a/"}, {"id": "a"}]).json()["scores"]] == [
        "unknown_candidate",
        "scored",
    ]


def test_a_slash_too_many_gets_around_nothing(serve: Serve) -> None:
    running = serve(api_keys="ops:k:score", metrics_port=1)
    headers = {"Authorization": "Bearer k"}
    assert running.client.get("/metrics/", headers=headers).status_code == 404
    assert running.client.get("/v1/models/", headers=headers).status_code == 403
    assert running.client.post("/score/", content=BODY, headers=JSON).status_code == 401


def test_a_byte_order_mark_is_passed_over_and_other_encodings_are_named(usual: Running) -> None:
    marked = usual.client.post("/score", content=b"\xef\xbb\xbf" + BODY, headers=JSON)
    assert marked.json() == usual.score().json()
    for raw in (BODY.decode().encode("utf-16"), '{"query": "é"}'.encode("latin-1"), b"{", b"\xef\xbb\xbf"):
        refused = usual.client.post("/score", content=raw, headers=JSON)
        assert refused.status_code == 400
        assert "UTF-8" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["gzip", "GZIP", "x-gzip"])
def test_a_gzip_body_is_read(usual: Running, name: str) -> None:
    headers = {**JSON, "Content-Encoding": name}
    assert usual.client.post("/score", content=gzip.compress(BODY), headers=headers).json() == usual.score().json()


def test_a_gzip_body_that_is_too_large_is_refused_however_small_it_arrives(serve: Serve) -> None:
    running = serve(max_body_bytes=10_000)
    for size in (10_001, 9_000_000):
        bomb = gzip.compress(b" " * size)
        assert len(bomb) < 10_000
        answer = running.client.post("/score", content=bomb, headers=ZIPPED)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:fitscore:too-large")
    assert running.client.post("/score", content=gzip.compress(BODY), headers=ZIPPED).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [b"x", BODY, gzip.compress(BODY)[:-1], gzip.compress(BODY) + b"x", gzip.compress(BODY) * 2, zlib.compress(BODY)],
)
def test_a_damaged_gzip_body_is_a_400(usual: Running, raw: bytes) -> None:
    answer = usual.client.post("/score", content=raw, headers=ZIPPED)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:fitscore:bad-request")


@pytest.mark.parametrize("name", ["br", "deflate", "zstd", "gzip, gzip"])
def test_other_encodings_are_refused(usual: Running, name: str) -> None:
    answer = usual.client.post("/score", content=BODY, headers={**JSON, "Content-Encoding": name})
    assert answer.status_code == 415


def test_large_answers_are_compressed_for_those_who_accept_it(serve: Serve) -> None:
    running = serve(gzip_min_bytes=500)
    plain = {"Accept-Encoding": "identity"}
    many = {"member": MEMBER, "candidates": [{"id": f"c{number}", "text": "chef"} for number in range(30)]}
    zipped = running.client.post("/score", json=many)  # httpx accepts gzip
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.headers["vary"] == "Accept-Encoding"
    assert "server-timing" in zipped.headers
    assert "content-encoding" not in running.client.post("/score", json=many, headers=plain).headers
    assert zipped.json() == running.client.post("/score", json=many, headers=plain).json()
    assert "content-encoding" not in running.client.get("/livez").headers
    assert running.client.get("/metrics").headers["content-encoding"] == "gzip"
    head = running.client.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("accepted", "found"),
    [("", False), ("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0", False), ("br", False)],
)
def test_an_accept_encoding_header_is_understood(accepted: str, found: bool) -> None:
    assert accepts_gzip(accepted.encode()) is found


def test_a_key_may_come_as_x_api_key(serve: Serve) -> None:
    running = serve(api_keys="web:s3cret:score")

    def status(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return running.client.post("/score", content=BODY, headers={**JSON, **named}).status_code

    assert status(x_api_key="s3cret") == 200
    assert status(x_api_key="wrong") == status(x_api_key="Bearer s3cret") == 401
    assert status(x_api_key="s3cret", authorization="Bearer wrong") == 401


def test_web_pages_of_listed_origins_may_call(serve: Serve) -> None:
    origin = "https://a.example"
    running = serve(cors_origins=f"{origin}, https://b.example", api_keys="web:s3cret:score")
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    allowed = running.client.options("/score", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == origin
    answer = running.client.post("/score", content=BODY, headers={**JSON, "Origin": origin, "X-Api-Key": "s3cret"})
    assert answer.headers["access-control-allow-origin"] == origin
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    other = {**asked, "Origin": "https://c.example"}
    assert "access-control-allow-origin" not in running.client.options("/score", headers=other).headers


def test_without_the_setting_no_origin_may_call(usual: Running) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    refused = usual.client.options("/score", headers=asked)
    assert refused.status_code == 405
    assert not [name for name in refused.headers if name.startswith("access-control")]
    answer = usual.client.post("/score", content=BODY, headers={**JSON, "Origin": "https://a.example"})
    assert "access-control-allow-origin" not in answer.headers
