"""The pages for a browser: where and with which keys they are served, and that they load nothing from elsewhere."""

import re

import pytest

from service.playground.pages import PATHS, STATIC, is_on
from tests.support.service import Running, Serve

KEYS = {"api_keys": "ranking:secret-key:score"}


@pytest.mark.parametrize("path", sorted(PATHS))
def test_a_page_is_served_and_bound_to_this_service(usual: Running, path: str) -> None:
    answer = usual.client.get(path)
    assert answer.status_code == 200
    policy = dict(each.split(maxsplit=1) for each in answer.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_scripts_and_styles_have_their_types(usual: Running) -> None:
    types = {path: usual.client.get(path).headers["content-type"] for path in ("/", "/playground/main.js", "/docs")}
    assert types["/"].startswith("text/html")
    assert types["/playground/main.js"].startswith("text/javascript")
    assert types["/docs"].startswith("text/html")


def test_no_file_of_the_pages_names_another_host() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in STATIC.iterdir()}
    assert {"index.html", "main.js"} <= set(texts)
    found = {name: re.findall(r"(?:https?:)?//[a-z][\w.-]+", text) for name, text in texts.items()}
    assert [name for name, hosts in found.items() if hosts] == []


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.1.2.3", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_by_default_only_a_service_on_loopback_has_pages(host: str, served: bool) -> None:
    assert is_on("auto", host) is served
    assert is_on("on", host)
    assert not is_on("off", host)


def test_without_pages_every_path_of_them_is_unknown(serve: Serve) -> None:
    running = serve(playground="off")
    assert {running.client.get(path).status_code for path in PATHS if path != "/"} == {404}
    root = running.client.get("/")
    assert (root.status_code, root.headers["allow"]) == (405, "POST")  # sentence similarity


def test_pages_need_no_key_but_scores_do(serve: Serve) -> None:
    running = serve(**KEYS)
    assert running.client.get("/").status_code == 200
    assert running.client.head("/").status_code == 200
    assert running.client.get("/docs/swagger-ui-bundle.js").status_code == 200
    assert running.score().status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_on_the_path_of_a_page_is_not_open(serve: Serve, method: str) -> None:
    assert serve(**KEYS).client.request(method, "/").status_code in (401, 405)


def test_without_pages_their_paths_need_a_key_as_every_unknown_path(serve: Serve) -> None:
    assert serve(playground="off", **KEYS).client.get("/").status_code == 401


def test_the_operations_port_has_no_pages(usual: Running) -> None:
    assert usual.app.operations.pages == frozenset()


def test_the_document_has_no_page(usual: Running) -> None:
    assert not set(usual.client.get("/openapi.json").json()["paths"]) & PATHS
