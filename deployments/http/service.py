"""The interface of the router that the HTTP surface needs."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from deployments.policy.answer import Answer
from deployments.policy.stream_events import AnswerStream
from deployments.request import InferenceRequest
from deployments.request.body import Limits


class Service(Protocol):
    """The router, as the HTTP surface sees it."""

    @property
    def limits(self) -> Limits:
        """The bounds of requests."""
        ...

    @property
    def last_resort_status(self) -> int:
        """The HTTP status of a last-resort answer."""
        ...

    @property
    def keepalive_s(self) -> float:
        """Seconds of silence after which a stream gives a sign of life; 0 for none."""
        ...

    def overloaded(self) -> bool:
        """Return whether a request that arrives now is turned away unread."""
        ...

    def turn_away(self, *, refusal: bool) -> Answer:
        """Count a request that is turned away, and return its answer; `refusal` where the request demands a form."""
        ...

    def last_resort(self, *, refusal: bool) -> Answer:
        """Return the last resort for a request that broke outside of the chain; `refusal` as in `turn_away`."""
        ...

    def gives_vectors(self, model: str) -> bool:
        """Return whether the answers of that model, or of the default for an empty name, are known to be vectors."""
        ...

    def arrival(self) -> AbstractContextManager[None]:
        """Return a context manager to hold while a request is read: such requests count towards `overloaded`."""
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
        """Return the body of `/v1/models`."""
        ...

    async def check_health(self) -> None:
        """Do nothing if the router is well.

        Raises:
            RuntimeError: the router has to be replaced.
        """
        ...

    async def readiness_of_all(self) -> dict[str, bool]:
        """Return for each tier whether it is ready in every router."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the body of `/status`."""
        ...

    async def run(self) -> None:
        """Run the background tasks until this is cancelled."""
        ...
