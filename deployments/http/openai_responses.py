"""OpenAI's Responses API, the one that its agents and the AI SDK ask by default.

POST /v1/responses    a response, whole or as events

Beside OpenAI's own fields, a response that has ended carries `neverblank`: the tier that answered, and the trace.
`model` names the model that really answered; it is `last_resort` where none did.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from deployments.http.alive import Writer
from deployments.http.family import Conversations, Reply, serve
from deployments.http.problems import unavailable_body
from deployments.http.response_body import ResponseFrame
from deployments.http.response_writer import ResponseWriter
from deployments.http.service import Service
from deployments.policy.answer import Answer
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import InferenceRequest
from deployments.request.body import Limits, decode_object
from deployments.request.inference import FORM_DEMANDED
from deployments.request.openai_responses import ResponsesRequest, responses_request


class ResponseReply:
    """The reply to one request: see `Reply`."""

    def __init__(self, asked: ResponsesRequest | None) -> None:
        """Reply to `asked`, which is `None` where it was not read."""
        self._frame = ResponseFrame(asked)

    async def body(self, answer: Answer, request_id: str) -> Mapping[str, Any]:
        """See `Reply`."""
        return self._frame.whole(answer, request_id)

    def error(self, answer: Answer, _request_id: str) -> Mapping[str, Any]:
        """See `Reply`."""
        return unavailable_body(answer)

    def writer(self, request_id: str) -> Writer:
        """See `Reply`."""
        return ResponseWriter(self._frame, request_id)


class ResponsesApi:
    """OpenAI's Responses format: see `ConversationFormat`."""

    form_demanded = FORM_DEMANDED

    async def read(self, body: bytes, limits: Limits, headers: Mapping[str, str]) -> tuple[InferenceRequest, Reply]:
        """See `ConversationFormat`."""
        data = decode_object(body, limits)
        if data.get("previous_response_id") is not None:
            accepted = "the whole conversation in input: responses are not stored here"
            raise InvalidRequestError(Problem("previous_response_id", "is not supported", accepted))
        asked = responses_request(data, limits, headers=headers)
        return asked.request, ResponseReply(asked)

    def unread(self) -> Reply:
        """See `ConversationFormat`."""
        return ResponseReply(None)


def responses_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""
    family = Conversations(service, ResponsesApi())

    async def create(request: Request) -> ASGIApp:
        return await serve(service, request, family)

    return [Route("/v1/responses", create, methods=["POST"])]
