"""POST /admin/acts: what an operator does by hand, in all routers."""

from collections.abc import Collection, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from deployments.http.arrival import read_body, read_headers
from deployments.http.responses import json_response
from deployments.http.service import Service
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.acts import read_act
from deployments.request.body import decode_object


async def act(service: Service, request: Request) -> Response:
    """Do what is asked, and tell in how many routers it was done: 202 where some hear of it later.

    Raises:
        InvalidRequestError: it is no act, the key is not an admin's, or a page of another site has sent it.
    """
    service.require_admin()
    headers = read_headers(request.scope)
    _refuse_other_sites(headers, service.cors_origins)
    body = await read_body(request, service.limits, headers)
    done = await service.act(read_act(decode_object(body, service.limits)))
    return json_response(done, HTTPStatus.OK if not done["unheard"] else HTTPStatus.ACCEPTED)


def _refuse_other_sites(headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Refuse what a page of another site has a browser send: without keys, the browser reaches whatever its user may.

    As in Go's `net/http.CrossOriginProtection`: browsers say so themselves, or at least name the origin of the page.

    Raises:
        InvalidRequestError: the origin is another one, and none that the policy names (403).
    """
    origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "")
    is_own = site in _OF_THE_SAME_PAGE if site else not origin or origin.partition("://")[2] == headers.get("host")
    if not is_own and origin not in allowed:
        told = Problem(
            "origin", "is that of another site", "this service's own pages, or one of http.cors_origins", 403
        )
        raise InvalidRequestError(told)


_OF_THE_SAME_PAGE = frozenset({"same-origin", "none"})
"""How browsers call a request of the site itself, or of their user; all other programs say nothing."""
