"""The description of all endpoints: for programs (OpenAPI 3.1) and for people.

GET /openapi.json    the document
GET /docs, /         the same as a page, which loads nothing from other hosts
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from deployments.http.responses import json_response

_STATIC = Path(__file__).parent / "static"
_FAMILIES = ("responses.yaml", "messages.yaml")
"""Families of wire formats that have a file of their own: its tags, paths and schemas."""


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of all endpoints."""
    document = _read("openapi.yaml")
    document["paths"] |= _read("operation.yaml")
    document["components"] = {**_read("components.yaml"), "schemas": _read("schemas.yaml")}
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
def _page() -> str:
    return (_STATIC / "docs.html").read_text(encoding="utf-8")


def page_routes() -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def document(_: Request) -> Response:
        return json_response(openapi())

    async def page(_: Request) -> Response:
        return HTMLResponse(_page())

    return [
        Route("/openapi.json", document, methods=["GET"]),
        Route("/docs", page, methods=["GET"]),
        Route("/", page, methods=["GET"]),
    ]
