"""Answers that are numbers: vectors and scores. One that cannot be had is an error (503, `vector_unavailable`).

No text, and nobody else's numbers, stand in its place.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from deployments.execution.clock import loop_time
from deployments.http.arrival import read_body, read_headers, read_request_id, skim_body
from deployments.http.problems import unavailable_body
from deployments.http.responses import UNAVAILABLE, headers_of, json_response
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.no_vector import no_vector_instead
from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.trace_headers import CALLERS_TRACE, read_trace

_Asked = TypeVar("_Asked")


async def answer_in_numbers(
    service: Service,
    request: Request,
    read: Callable[..., _Asked],
    request_of: Callable[[_Asked], InferenceRequest],
    write: Callable[[Answer, _Asked, str], Awaitable[Response]],
) -> Response:
    """Return the response to `request`.

    Args:
        service: answers it.
        request: a POST.
        read: reads its body, within limits and with the headers beside it.
        request_of: returns the request in what was read.
        write: writes the response with the numbers, where there are any, for the request's id.

    Raises:
        InvalidRequestError: the request is not valid, or may not be answered.
    """
    started = loop_time()
    headers = read_headers(request.scope)
    request_id = read_request_id(headers)
    CALLERS_TRACE.set(read_trace(headers))
    if service.overloaded():
        await skim_body(request, service.limits, headers)
        return _none(no_vector_instead(service.turn_away()))
    with service.arrival():
        body = await read_body(request, service.limits, headers)
    try:
        asked = read(body, service.limits, headers=headers)
        answer = await service.answer(request_of(asked), request_id, started)
        return _none(answer) if answer.unavailable else await write(answer, asked, request_id)
    except InvalidRequestError:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours: there are no numbers, and no page about it either
        log.internal_error("http", request.url.path, error)
        return _none(no_vector_instead(service.last_resort(refusal=True)))


def _none(answer: Answer) -> Response:
    return json_response(unavailable_body(answer), UNAVAILABLE, headers_of(answer))
