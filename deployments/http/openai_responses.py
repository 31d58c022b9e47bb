"""OpenAI's Responses API, the one that its agents and the AI SDK ask by default.

POST   /v1/responses         a response, whole or as events
GET    /v1/responses/{id}    a response that was kept, where the policy names a store
DELETE /v1/responses/{id}    deletes it

Beside OpenAI's own fields, a response that has ended carries `neverblank`: the tier that answered, and the trace.
`model` names the model that really answered; it is `last_resort` where none did.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.execution.clock import loop_time
from deployments.http.alive import Writer
from deployments.http.endpoint import post
from deployments.http.family import Conversations, Reply, serve
from deployments.http.kept_responses import conversation_before, key_of_response, missing_response, owned, with_items
from deployments.http.problems import server_error, unavailable_body
from deployments.http.response_body import ResponseFrame
from deployments.http.response_writer import ResponseWriter
from deployments.http.responses import UNAVAILABLE, json_response
from deployments.http.service import Service
from deployments.policy.answer import Answer
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import InferenceRequest
from deployments.request.body import Limits, decode_object
from deployments.request.controls import read_timeout
from deployments.request.inference import FORM_DEMANDED
from deployments.request.openai_responses import ResponsesRequest, responses_request
from deployments.storage.keeper import STORE_ANSWERS_S, KeptResponse, ResponseKeeper
from deployments.storage.store import RecordMissingError, StoreUnreachableError


class ResponseReply:
    """The reply to one request: see `Reply`."""

    def __init__(self, asked: ResponsesRequest | None, keeper: ResponseKeeper, started: float) -> None:
        """Reply to `asked`, which arrived at `started`; it is `None` where it was not read."""
        self._asked = asked
        self._keeper = keeper
        self._due = started + (asked.request.timeout_s if asked is not None else 0.0)
        self._frame = ResponseFrame(asked)

    async def body(self, answer: Answer, request_id: str) -> Mapping[str, Any]:
        """See `Reply`."""
        return await self._keep(self._frame.whole(answer, request_id))

    def error(self, answer: Answer, _request_id: str) -> Mapping[str, Any]:
        """See `Reply`."""
        return unavailable_body(answer)

    def writer(self, request_id: str) -> Writer:
        """See `Reply`."""
        return ResponseWriter(self._frame, request_id, self._keep)

    async def _keep(self, response: dict[str, Any]) -> dict[str, Any]:
        """Keep a response that has ended, unless its caller refuses that, and return it with what became of that."""
        if self._asked is None or self._asked.wants_storing is False:
            return response
        if not self._keeper.is_on:
            return _noted(response, stored=False) if self._asked.wants_storing else response
        noted = _noted(response, stored=True)
        kept = KeptResponse(noted, (*self._asked.items, *noted["output"]))
        is_kept = await self._keeper.keep(owned(self._frame.key), kept, self._left_s(self._asked))
        return noted if is_kept else _noted(response, stored=False)

    def _left_s(self, asked: ResponsesRequest) -> float:
        """Return the seconds that the store has: a whole answer is due at the deadline, kept or not."""
        if asked.request.stream:
            return STORE_ANSWERS_S
        return min(STORE_ANSWERS_S, max(_SOON_S, self._due - loop_time()))


_SOON_S = 0.05
"""Seconds that a store has in any case: one that is well needs less."""


_SHARE_OF_DEADLINE = 0.5
"""The share of what is left of a deadline for which a request waits for what it refers to."""


def _found_by(due: float) -> float:
    """Return until when, on the loop's clock, the store is asked for a request that is due at `due`."""
    now = loop_time()
    return now + min(STORE_ANSWERS_S, max(0.0, _SHARE_OF_DEADLINE * (due - now)))


def _noted(response: dict[str, Any], *, stored: bool) -> dict[str, Any]:
    return {**response, "store": stored, "neverblank": {**response["neverblank"], "stored": stored}}


class ResponsesApi:
    """OpenAI's Responses format: see `ConversationFormat`."""

    form_demanded = FORM_DEMANDED

    def __init__(self, service: Service) -> None:
        """Read and write the format for `service`, which keeps responses."""
        self._service = service

    async def read(
        self, body: bytes, limits: Limits, headers: Mapping[str, str], started: float
    ) -> tuple[InferenceRequest, Reply]:
        """See `ConversationFormat`.

        Raises:
            StoreUnreachableError: the conversation that it goes on with cannot be found now.
        """
        keeper = self._service.keeper
        with self._service.arrival():  # the store may be slow, and the body is held meanwhile
            sent = decode_object(body, limits)
            found_by = _found_by(started + read_timeout(sent, headers, limits))
            data = await with_items(sent, keeper, limits, found_by)
            before = await conversation_before(data, keeper, limits, found_by)
        asked = responses_request(data, limits, headers=headers, before=before)
        return asked.request, ResponseReply(asked, keeper, started)

    def unread(self) -> Reply:
        """See `ConversationFormat`."""
        return ResponseReply(None, self._service.keeper, 0.0)


def responses_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def kept(request: Request) -> Response:
        name, keeper = request.path_params["response_id"], service.keeper
        if request.query_params.get("stream", "false") != "false":
            raise InvalidRequestError(Problem("stream", "is not supported", "false: the response is whole"))
        try:
            key = owned(key_of_response(name)) if keeper.is_on else ""
            if request.method != "DELETE" and key:
                return json_response((await keeper.find(key)).body)
            if not key or not await keeper.forget(key):
                raise missing_response("response_id", keeper)
            return json_response({"id": name, "object": "response", "deleted": True})
        except RecordMissingError as error:
            raise missing_response("response_id", keeper) from error
        except StoreUnreachableError:
            told = server_error("The store of responses cannot be asked now.", "store_unreachable")
            return json_response(told, UNAVAILABLE, {"retry-after": "1"})

    return [
        post("/v1/responses", partial(serve, service, Conversations(service, ResponsesApi(service)))),
        Route("/v1/responses/{response_id}", kept, methods=["GET", "DELETE"]),
    ]
