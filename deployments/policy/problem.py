"""What is wrong with a request: the caller's fault, never a model's."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """A request that cannot be understood.

    Attributes:
        field: where the fault is: a field, a header, `body`, `path` or `method`.
        message: what is wrong with it. It never quotes more of the request than a field's name.
        accepted: what would be right.
        status: the HTTP status, 400 to 499.
        headers: response headers that belong to the status, such as `allow`.
    """

    field: str
    message: str
    accepted: str
    status: int = 400
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The error object of the native API."""
        return {
            "type": "invalid_request",
            "field": self.field,
            "message": self.message,
            "accepted": self.accepted,
        }

    def to_body(self, request_id: str) -> dict[str, Any]:
        """The native API's body, which the handle and the engine give, too: its `result` is not blank."""
        return {"error": self.to_json(), "result": self.explain(), "request_id": request_id}

    def explain(self) -> str:
        """The non-blank `result` that goes with the error object."""
        return f"This request could not be read: {self.field} {self.message}. Accepted: {self.accepted}."


class InvalidRequestError(ValueError):
    """Raised while a request is read.

    Attributes:
        problem: what is wrong.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.explain())
        self.problem = problem
