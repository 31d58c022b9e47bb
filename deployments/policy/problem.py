"""A fault in a request, in words that let its caller mend it: 4xx, never a fault of a model."""

from collections.abc import Mapping
from typing import Any

import msgspec

UNSUPPORTED = "unsupported_parameter"
CONTEXT_LENGTH = "context_length_exceeded"
MODEL_NOT_FOUND = "model_not_found"
"""OpenAI's codes of requests that no model may ever answer, however often they are sent."""

NO_THREADS = "thread_unsupported_request"
"""Code: Anthropic's, of a conversation that the server is to hold; its clients then send the whole conversation."""

_SORTS = {401: "authentication", 403: "permission", 429: "rate_limit"}
_VERDICTS = {401: "was not let in", 403: "is not allowed", 429: "has to wait"}
"""Of the statuses that are about the caller's key, not about the form of the request."""

_STATUS = {MODEL_NOT_FOUND: 404}


class Problem(msgspec.Struct, frozen=True):
    """A fault in a request.

    Attributes:
        field: the place of the fault: a field, a header, `body`, `path` or `method`.
        message: the fault, worded to follow `field` ("is missing"). Of the request it quotes names of fields only, and
            of what does not exist the method and the path.
        accepted: the values that would be accepted.
        status: the HTTP status, 400 to 499; 508 for a request that has come back.
        headers: response headers that belong to the status, such as `allow`.
        code: OpenAI's code, or the provider's where a model calls the request invalid and names one.
    """

    field: str
    message: str
    accepted: str
    status: int = 400
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the error object of the native API."""
        told = {
            "type": _SORTS.get(self.status, "invalid_request"),
            "field": self.field,
            "message": self.message,
            "accepted": self.accepted,
        }
        return {**told, "code": self.code} if self.code else told

    def to_body(self, request_id: str) -> dict[str, Any]:
        """Return the native API's body, for HTTP, handles and the engine alike; its `result` is not blank."""
        return {"error": self.to_json(), "result": self.explain(), "request_id": request_id}

    def explain(self) -> str:
        """Return the fault as a sentence, for the `result` beside the error object."""
        verdict = _VERDICTS.get(self.status, "could not be read")
        return f"This request {verdict}: {self.field} {self.message}. Accepted: {self.accepted}."


class InvalidRequestError(ValueError):
    """The request cannot be read, or the model that was asked for calls it invalid.

    Attributes:
        problem: the fault.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.explain())
        self.problem = problem


def status_of_code(code: str) -> int:
    """Return the HTTP status of a problem with this code."""
    return _STATUS.get(code, 400)
