"""What a deployment handle to the router can call: for Ray jobs, and for the engine in Python."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from deployments.execution.clock import LoopClock
from deployments.policy.answer import Answer
from deployments.policy.problem import InvalidRequestError
from deployments.policy.stream_events import AnswerStream, StreamDone, TextDelta
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.native import from_python


class HandleMethods(ABC):
    """The methods of a router that are called through handles. They give the bodies that HTTP would give."""

    clock: LoopClock

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """The bounds requests are held to."""

    @abstractmethod
    def overloaded(self) -> bool:
        """Whether a request that comes now is turned away unread."""

    @abstractmethod
    def turn_away(self, *, refusal: bool = False) -> Answer:
        """The answer to a request that is turned away; `refusal` where it demands a form."""

    @abstractmethod
    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        """Answer a well-formed request."""

    @abstractmethod
    async def stream(self, request: InferenceRequest, request_id: str, started: float) -> AnswerStream:
        """Begin to answer one."""

    @abstractmethod
    def describe_models(self) -> dict[str, Any]:
        """All models and the backup."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the router knows and has done."""

    @abstractmethod
    def readiness(self) -> dict[str, bool]:
        """Which tiers would answer in this router."""

    async def infer(self, data: Any, model: Any = "") -> dict[str, Any]:
        """Answer through a deployment handle: the body that HTTP would give, for content of any kind.

        Args:
            data: a mapping as the native API's JSON body.
            model: the model asked for, a text; the same as `data["model"]`.
        """
        started = self.clock()
        request_id = uuid4().hex
        if self.overloaded():
            return self.turn_away().to_json(request_id)
        try:
            request = from_python(data, self.limits, model=model)
            return (await self.answer(request, request_id, started)).to_json(request_id)
        except InvalidRequestError as error:
            return error.problem.to_body(request_id)

    async def infer_stream(self, data: Any, model: Any = "") -> AsyncIterator[dict[str, Any]]:
        """Answer through a deployment handle (`options(stream=True)`), piece by piece.

        Gives `{"text", "model", "served_by"}` for each piece, and at the end the body that `infer` would give.
        """
        started = self.clock()
        request_id = uuid4().hex
        if self.overloaded():
            yield self.turn_away().to_json(request_id)
            return
        try:
            request = replace(from_python(data, self.limits, model=model), stream=True)
            stream = await self.stream(request, request_id, started)
        except InvalidRequestError as error:
            yield error.problem.to_body(request_id)
            return
        async with aclosing(stream):
            async for item in stream:
                match item:
                    case TextDelta(text, writer, tier):
                        yield {"text": text, "model": writer, "served_by": tier.value}
                    case StreamDone(answer):
                        yield answer.to_json(request_id)

    async def models(self) -> dict[str, Any]:
        """`GET /v1/models` for deployment handles."""
        return self.describe_models()

    async def status(self) -> dict[str, Any]:
        """`GET /status` for deployment handles."""
        return self.describe()

    async def ready(self) -> dict[str, bool]:
        """The tiers of `GET /readyz` for deployment handles."""
        return self.readiness()
