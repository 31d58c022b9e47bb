"""The methods of the router that deployment handles call: for Ray jobs, and for `InferenceEngine`."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from deployments.access.counts import Table
from deployments.access.gate import Gate
from deployments.execution.clock import loop_time
from deployments.execution.keepalive import with_signs_of_life
from deployments.execution.service import AnsweringService
from deployments.observability.fallback_log import FallbackQuery
from deployments.policy.answer import Answer
from deployments.policy.no_vector import no_vector_instead
from deployments.policy.problem import InvalidRequestError
from deployments.policy.stream_events import PENDING, ExtrasDelta, StreamDone, TextDelta
from deployments.request.acts import Act, ActKind
from deployments.request.native import asks_for_vectors, from_python


class HandleMethods(AnsweringService, ABC):
    """Methods of a router that are called through handles. Their results are the bodies that HTTP would return.

    Whoever has a handle is inside the cluster, and needs no key.
    """

    gate: Gate

    @abstractmethod
    def readiness(self) -> dict[str, bool]:
        """Return for each tier whether it could answer in this router."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what this router knows and has done."""

    @abstractmethod
    async def status_of_all(self) -> dict[str, Any]:
        """Return what all routers know and have done."""

    @abstractmethod
    def find_fallbacks(self, query: FallbackQuery) -> dict[str, Any]:
        """Return the fallbacks of this router that `query` asks for, with the id of its replica."""

    @abstractmethod
    def do(self, act: Act, at: float) -> str:
        """Do in this router what an operator has asked for at a time in seconds since 1970; return its replica's id."""

    @abstractmethod
    def interventions(self) -> dict[str, Any]:
        """Return what an operator has done."""

    async def infer(self, data: Any, model: Any = "") -> dict[str, Any]:
        """Answer through a deployment handle; return the body that HTTP would return, for whatever is passed.

        Args:
            data: a mapping with the keys of the native API's JSON body.
            model: the name of the model asked for, in place of `data["model"]`.
        """
        started = loop_time()
        request_id = uuid4().hex
        if self.overloaded():
            return self._turn_away(data, model).to_json(request_id)
        try:
            request = from_python(data, self.limits, model=model)
            return (await self.answer(request, request_id, started)).to_json(request_id)
        except InvalidRequestError as error:
            return error.problem.to_body(request_id)

    async def infer_stream(self, data: Any, model: Any = "") -> AsyncGenerator[dict[str, Any], None]:
        """Answer through a deployment handle with `options(stream=True)`, piece by piece.

        Each piece is `{"text", "model", "served_by"}`, or has `extras` in the place of the text; the last item is the
        body that `infer` would return. A piece whose text is empty is a sign of life, in each silence of `keepalive_s`:
        a model reasons, or nobody has begun (`served_by` is `pending`).
        """
        sign = {"text": "", "model": "", "served_by": PENDING}
        async with aclosing(with_signs_of_life(self._pieces(data, model), self.keepalive_s, lambda: sign)) as pieces:
            async for piece in pieces:
                if piece is not sign and "model" in piece:
                    sign = {**sign, "model": piece["model"], "served_by": piece["served_by"]}
                yield piece

    async def _pieces(self, data: Any, model: Any) -> AsyncGenerator[dict[str, Any], None]:
        started = loop_time()
        request_id = uuid4().hex
        if self.overloaded():
            yield self._turn_away(data, model).to_json(request_id)
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
                    case ExtrasDelta(extras, writer, tier):
                        yield {"extras": extras.to_json(), "model": writer, "served_by": tier.value}
                    case StreamDone(answer):
                        yield answer.to_json(request_id)

    def _turn_away(self, data: Any, model: Any) -> Answer:
        """Turn away a request of which no more is read than what decides whether a text may stand in for its answer."""
        # Whatever is passed through a handle arrives here: no object but a plain one is asked for anything.
        plain = {key: value for key, value in data.items() if type(value) is str} if type(data) is dict else {}
        named = model if type(model) is str and model else plain.get("model", "")
        vectors = asks_for_vectors(plain) or self.gives_vectors(named)
        turned_away = self.turn_away()
        return no_vector_instead(turned_away) if vectors else turned_away

    async def models(self) -> dict[str, Any]:
        """Return the body of `GET /v1/models`, for deployment handles."""
        return self.describe_models()

    async def status(self) -> dict[str, Any]:
        """Return the body of `GET /status`, for deployment handles."""
        return await self.status_of_all()

    async def own_status(self) -> dict[str, Any]:
        """Return what this router knows and has done, for the other routers."""
        return self.describe()

    async def own_fallbacks(self, since: float, model: str, limit: int) -> dict[str, Any]:
        """Return the fallbacks of this router, for the other routers; see `FallbackQuery`."""
        return self.find_fallbacks(FallbackQuery(since, model, limit))

    async def own_act(self, kind: str, model: str, share: float, at: float) -> str:
        """Do in this router what an operator has asked one of them for; return the id of its replica."""
        return self.do(Act(ActKind(kind), model, share), at)

    async def own_interventions(self) -> dict[str, Any]:
        """Return what an operator has done, for the other routers."""
        return self.interventions()

    async def exchange_counts(self, tables: list[Table]) -> list[Table]:
        """Take over what another router has counted of the keys, and return what this one has."""
        return self.gate.hear(tables)

    async def ready(self) -> dict[str, bool]:
        """Return the readiness of this router's tiers, for deployment handles."""
        return self.readiness()
