"""What people see of the service, and the description of all endpoints for programs (OpenAPI 3.1).

GET /                the console: what the service does, a playground, and levers
GET /docs            the endpoints
GET /openapi.json    the endpoints, for programs
GET /static/{file}   what the pages are made of; they load nothing from other hosts, and run nothing else
"""

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.http.body_schemas import body_schemas
from deployments.http.responses import json_response

_STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_FAMILIES = ("responses.yaml", "messages.yaml", "ranking.yaml")
"""Families of wire formats that have a file of their own: its tags, paths and schemas."""


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of all endpoints."""
    document = _read("openapi.yaml")
    document["paths"] |= _read("operation.yaml")
    document["components"] = {**_read("components.yaml"), "schemas": _read("schemas.yaml") | body_schemas()}
    for family in _FAMILIES:
        described = _read(family)
        document["tags"] += described["tags"]
        document["paths"] |= described["paths"]
        document["components"]["schemas"] |= described["schemas"]
    return document


def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((_STATIC / name).read_text(encoding="utf-8"))
    return read


@cache
def _pages() -> dict[str, tuple[bytes, str]]:
    """Return the pages and their parts: content and media type by the name of their file."""
    return {
        path.name: (path.read_bytes(), _MEDIA_TYPES[path.suffix])
        for path in _STATIC.iterdir()
        if path.suffix in _MEDIA_TYPES
    }


def _page(name: str) -> Response:
    content, media_type = _pages()[name]
    return Response(content, media_type=media_type, headers=_HEADERS)


def page_routes() -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def document(_: Request) -> Response:
        return json_response(openapi())

    async def docs(_: Request) -> Response:
        return _page("docs.html")

    async def console(_: Request) -> Response:
        return _page("console.html")

    async def part(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in _pages():
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _page(name)

    return [
        Route("/openapi.json", document, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
        Route("/static/{file}", part, methods=["GET"]),
        Route("/", console, methods=["GET"]),
    ]
