"""The admin routes as a promotion reads them: metrics of several products, a port of their own, and other servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from training.errors import UserError
from training.promotion.admin import AdminRoutes, Refused, Seen, Unreachable

METRICS = """
# HELP fitscore_version_requests_total Requests during a rollout
fitscore_version_requests_total{model="shop",version="1",stage="live"} 90.0
fitscore_version_requests_total{model="shop",version="2",stage="canary"} 10.0
fitscore_version_failed_total{model="shop",version="2",stage="canary"} 1.0
fitscore_version_model_seconds_total{model="shop",version="2",stage="canary"} 0.5
fitscore_version_requests_total{model="jobs",version="2",stage="canary"} 77.0
fitscore_rollout_psi{model="shop",version="2",stage="canary"} 0.02
fitscore_stage_seconds_total{stage="model"} 3.0
fitscore_requests_total{outcome="ok",route="/score"} 95.0
fitscore_requests_total{outcome="partial",route="/score"} 4.0
fitscore_requests_total{outcome="error",route="/candidates"} 9.0
"""
Serve = Callable[[dict[str, tuple[int, str]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server with an answer for each path; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, tuple[int, str]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = answers.get(self.path, (404, '{"title": "not found"}'))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


def test_the_figures_are_those_of_the_product_and_the_version(serve: Serve) -> None:
    with AdminRoutes(serve({"/metrics": (200, METRICS)}), None, "promotion") as service:
        found = service.figures("shop", "2")
    assert found.candidate == Seen(10, 1, 0.5)
    assert (found.candidate.failure_rate, found.candidate.mean_s) == (0.1, 0.05)
    assert (found.live.requests, found.psi) == (90, 0.02)
    assert (found.requests, found.failed) == (99, 4)


def test_metrics_are_read_from_a_port_of_their_own(serve: Serve) -> None:
    url = serve({})
    with AdminRoutes(url, "key", "promotion") as service, pytest.raises(Refused, match="with --metrics"):
        service.figures("shop", "2")
    with AdminRoutes(url, "key", "promotion", serve({"/metrics": (200, METRICS)})) as service:
        assert service.figures("shop", "2").candidate.requests == 10
    with AdminRoutes(url, "key", "promotion", serve({})) as service, pytest.raises(Unreachable, match="cannot be read"):
        service.figures("shop", "2")


@pytest.mark.parametrize("answer", ["<html>", "[]", "{}", '{"models": [1]}'])
def test_another_server_is_named_as_such(serve: Serve, answer: str) -> None:
    url = serve({"/v1/models": (200, answer)})
    with AdminRoutes(url, None, "promotion") as service, pytest.raises(Unreachable, match="as Fitscore does"):
        service.serving("shop")


def test_a_product_that_is_not_served_is_named_with_those_that_are(serve: Serve) -> None:
    url = serve({"/v1/models": (200, '{"models": [{"name": "jobs", "version": "1", "live": true}]}')})
    with (
        AdminRoutes(url, None, "promotion") as service,
        pytest.raises(Refused, match="no product 'shop'; it serves jobs"),
    ):
        service.serving("shop")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "service"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="name an address"):
        AdminRoutes(url, None, "promotion")


def test_a_password_in_the_address_is_not_repeated() -> None:
    assert AdminRoutes("http://ops:secret@host:80/base/", None, "promotion").address == "http://host:80/base"


def test_a_page_that_holds_no_metrics_is_named_as_such(serve: Serve) -> None:
    url = serve({"/metrics": (200, "<html>a page</html>")})
    with AdminRoutes(url, None, "promotion") as service, pytest.raises(Unreachable, match="no page of metrics"):
        service.figures("shop", "2")
