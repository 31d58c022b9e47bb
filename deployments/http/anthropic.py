"""Anthropic's Messages API: any client of it works with a changed `base_url`.

POST /v1/messages                 a message, whole or as events
POST /v1/messages/count_tokens    how many tokens the prompt of a message has: as the model asked for counts them, or an
                                  estimate that says so

Beside Anthropic's own fields, a message and the event `message_delta` carry `neverblank`: the tier that answered, and
the trace. `model` names the model that really answered; it is `last_resort` where none did.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.http.alive import Writer
from deployments.http.arrival import read_body, read_headers, read_request_id, skim_body
from deployments.http.endpoint import post
from deployments.http.family import Conversations, Reply, serve
from deployments.http.message import message_body
from deployments.http.message_writer import MessageWriter
from deployments.http.problems import anthropic_error
from deployments.http.responses import UNAVAILABLE, json_response
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.anthropic import messages_request
from deployments.request.body import Limits
from deployments.request.prompt_estimate import estimate_prompt_tokens
from deployments.request.tokens import TokensRequest

FORM_DEMANDED_IN_MESSAGES = re.compile(rb'"json_schema"|"tool_choice"\s*:\s*\{[^{}]*?"type"\s*:\s*"(?:any|tool)"')
"""Is found in every body of the format that demands JSON or a tool call."""


class MessageReply:
    """The reply to one request: see `Reply`."""

    def __init__(self, asked: InferenceRequest | None) -> None:
        """Reply to `asked`, which is `None` where it was not read."""
        self._asked = asked

    async def body(self, answer: Answer, request_id: str) -> Mapping[str, Any]:
        """See `Reply`."""
        return message_body(answer, self._asked, request_id)

    def error(self, answer: Answer, request_id: str) -> Mapping[str, Any]:
        """See `Reply`."""
        return anthropic_error("api_error", str(answer.result), request_id, code=answer.unavailable)

    def writer(self, request_id: str) -> Writer:
        """See `Reply`."""
        return MessageWriter(self._asked, request_id)


class MessagesFormat:
    """Anthropic's Messages format: see `ConversationFormat`."""

    form_demanded = FORM_DEMANDED_IN_MESSAGES

    async def read(
        self, body: bytes, limits: Limits, headers: Mapping[str, str], _started: float
    ) -> tuple[InferenceRequest, Reply]:
        """See `ConversationFormat`."""
        asked = messages_request(body, limits, headers=headers)
        return asked, MessageReply(asked)

    def unread(self) -> Reply:
        """See `ConversationFormat`."""
        return MessageReply(None)


def anthropic_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def count_tokens(request: Request) -> Response:
        headers, is_busy = read_headers(request.scope), service.overloaded()
        if is_busy:  # a count has no last resort
            await skim_body(request, service.limits, headers)
            told = anthropic_error("overloaded_error", "The service is overloaded.", read_request_id(headers))
            return json_response(told, UNAVAILABLE, {"retry-after": "1"})
        with service.arrival():
            body = await read_body(request, service.limits, headers)
            try:
                asked = messages_request(body, service.limits, headers=headers)
            except InvalidRequestError:
                raise
            except Exception as error:  # noqa: BLE001 - a bug of ours
                log.internal_error("http", request.url.path, error)
                told = anthropic_error("api_error", "The message could not be counted.", read_request_id(headers))
                return json_response(told, UNAVAILABLE)
            async with service.gate.question(asked):
                counted = await _count(service, asked)
        told = {"input_tokens": counted or estimate_prompt_tokens(asked), "neverblank": {"estimated": not counted}}
        return json_response(told)

    return [
        post("/v1/messages", partial(serve, service, Conversations(service, MessagesFormat()))),
        Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
    ]


async def _count(service: Service, asked: InferenceRequest) -> int:
    """Return how many tokens the model asked for reads; 0 where it cannot say so soon: a remote one never does."""
    soon = replace(asked, timeout_s=min(asked.timeout_s, _COUNT_S))
    try:
        answer = await service.tokenize(TokensRequest(soon, special=False))
    except (
        InvalidRequestError
    ):  # of a remote model, one without a tokenizer, or none: the message is answered all the same
        return 0
    except Exception as error:  # noqa: BLE001 - a bug of ours: there is an estimate
        log.internal_error("http", "count_tokens", error)
        return 0
    return 0 if answer.unavailable else int(answer.result["count"])


_COUNT_S = 5.0
"""Seconds that a model has for the count: callers ask for it before they ask for an answer."""
