"""The playground at `/` and Swagger UI at `/docs`: files, with headers that keep a browser to this service.

Knows no models, requests or keys. The pages call the API as every other client does.
"""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"
# The path of each page, and its file. Names without a folder are relative to STATIC.
FILES = {
    "/": "index.html",
    "/playground/style.css": "style.css",
    "/playground/main.js": "main.js",
    "/playground/input.js": "input.js",
    "/playground/view.js": "view.js",
    "/playground/examples.js": "examples.js",
    "/docs": "docs.html",
    "/docs/docs.js": "docs.js",
}
# The package `fastapi_offline` holds these files; none of its code runs.
SWAGGER_FILES = {f"/docs/{name}": name for name in ("swagger-ui-bundle.js", "swagger-ui.css")}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PATHS = frozenset(FILES) | frozenset(SWAGGER_FILES)

_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; style-src 'self'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def is_on(setting: Literal["auto", "on", "off"], host: str) -> bool:
    """Whether to serve the pages: `auto` serves them where only this machine can connect."""
    if setting != "auto":
        return setting == "on"
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def routes() -> list[Route]:
    """The routes of all pages."""
    spec = find_spec("fastapi_offline")
    assert spec is not None, "pyproject.toml lists it"
    assert spec.origin is not None, "it is a package with files"
    swagger = Path(spec.origin).parent / "static"
    places = {path: STATIC / name for path, name in FILES.items()}
    places |= {path: swagger / name for path, name in SWAGGER_FILES.items()}
    return [_route(path, file) for path, file in places.items()]


def _route(path: str, file: Path) -> Route:
    # Swagger UI sets styles on its elements; the playground does not.
    policy = _POLICY + (" 'unsafe-inline'" if path.startswith("/docs") else "")
    headers = {**_HEADERS, "Content-Security-Policy": policy}

    async def page(request: Request) -> Response:
        return FileResponse(file, headers=headers, media_type=TYPES[file.suffix])

    return Route(path, page, methods=["GET"], include_in_schema=False)
