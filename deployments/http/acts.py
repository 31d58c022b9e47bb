"""POST /admin/acts: what an operator does by hand, in all routers."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from deployments.http.arrival import read_body, read_headers
from deployments.http.responses import json_response
from deployments.http.service import Service
from deployments.request.acts import read_act
from deployments.request.body import decode_object


async def act(service: Service, request: Request) -> Response:
    """Do what is asked, and tell in how many routers it was done: 202 where some hear of it later.

    Raises:
        InvalidRequestError: it is no act, or the key is not an admin's.
    """
    service.require_admin()
    body = await read_body(request, service.limits, read_headers(request.scope))
    done = await service.act(read_act(decode_object(body, service.limits)))
    return json_response(done, HTTPStatus.OK if not done["unheard"] else HTTPStatus.ACCEPTED)
