"""The router, as both of its surfaces see it: HTTP, and deployment handles."""

from typing import Any, Protocol

from deployments.policy.answer import Answer
from deployments.policy.stream_events import AnswerStream
from deployments.request import InferenceRequest
from deployments.request.body import Limits


class AnsweringService(Protocol):
    """Answers requests, whatever they came through."""

    @property
    def limits(self) -> Limits:
        """The bounds of requests."""
        ...

    @property
    def keepalive_s(self) -> float:
        """Seconds of silence after which a stream gives a sign of life; 0 for none."""
        ...

    def overloaded(self) -> bool:
        """Return whether a request that arrives now is turned away unread."""
        ...

    def turn_away(self, *, refusal: bool = False) -> Answer:
        """Count a request that is turned away, and return its answer; `refusal` where the request demands a form."""
        ...

    def gives_vectors(self, model: str) -> bool:
        """Return whether the answers of that model, or of the default for an empty name, are known to be vectors."""
        ...

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        """Return the answer to a request that arrived at `started`, on the event loop's clock.

        Raises:
            InvalidRequestError: the model asked for calls the request invalid.
        """
        ...

    async def stream(self, request: InferenceRequest, request_id: str, started: float) -> AnswerStream:
        """Return a stream that answers, once its first content is there. For the rest see `answer`."""
        ...

    def describe_models(self) -> dict[str, Any]:
        """Return the body of `GET /v1/models`."""
        ...
