"""POST /admin/acts: what an operator does by hand, in all routers."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from deployments.http.arrival import read_body, read_headers
from deployments.http.responses import json_response
from deployments.http.service import Service
from deployments.http.sites import refuse_other_sites
from deployments.request.acts import read_act
from deployments.request.body import decode_object


async def act(service: Service, request: Request) -> Response:
    """Do what is asked, and tell in how many routers it was done: 202 where some hear of it later.

    Raises:
        InvalidRequestError: it is no act, the key is not an admin's, or a page of another site has sent it.
    """
    service.require_admin()
    headers = read_headers(request.scope)
    named = [origin for origin in service.cors_origins if origin != "*"]  # who may ask need not act
    refuse_other_sites(request.scope, named, is_private=service.gate.is_private)
    body = await read_body(request, service.limits, headers)
    done = await service.act(read_act(decode_object(body, service.limits)))
    return json_response(done, HTTPStatus.OK if not done["unheard"] else HTTPStatus.ACCEPTED)
