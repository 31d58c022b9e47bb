"""What the HTTP surface needs of the router."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from deployments.execution.clock import LoopClock
from deployments.policy.answer import Answer
from deployments.policy.stream_events import AnswerStream
from deployments.request import InferenceRequest
from deployments.request.body import Limits


class Service(Protocol):
    """The router, as the HTTP surface sees it."""

    @property
    def limits(self) -> Limits:
        """The bounds requests are held to."""
        ...

    @property
    def last_resort_status(self) -> int:
        """The HTTP status of a last-resort answer."""
        ...

    @property
    def clock(self) -> LoopClock:
        """The event loop's time, by which everything is measured."""
        ...

    def overloaded(self) -> bool:
        """Whether a request that comes now is turned away unread."""
        ...

    def turn_away(self, *, refusal: bool) -> Answer:
        """The answer to a request that is turned away; `refusal` where it demands a form."""
        ...

    def arrival(self) -> AbstractContextManager[None]:
        """To be held while a request is read: one that is still arriving takes room, too."""
        ...

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        """Answer; `started` is when the request arrived, on the event loop's clock.

        Raises:
            InvalidRequestError: the model asked for calls the request invalid.
        """
        ...

    async def stream(self, request: InferenceRequest, request_id: str, started: float) -> AnswerStream:
        """The same piece by piece; gives the stream once its first content is there."""
        ...

    def describe_models(self) -> dict[str, Any]:
        """The body of `/v1/models`."""
        ...

    async def check_health(self) -> None:
        """Raises `RuntimeError` where the router is to be replaced."""
        ...

    async def readiness_of_all(self) -> dict[str, bool]:
        """Which tiers are ready in every router."""
        ...

    def describe(self) -> dict[str, Any]:
        """The body of `/status`."""
        ...

    async def run(self) -> None:
        """Whatever has to go on while the service is up."""
        ...
