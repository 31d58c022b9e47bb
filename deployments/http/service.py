"""The interface of the router that the HTTP surface needs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from deployments.access.gate import Gate
from deployments.execution.service import AnsweringService
from deployments.observability.fallback_log import FallbackQuery
from deployments.policy.answer import Answer
from deployments.request.acts import Act
from deployments.request.tokens import TokensRequest
from deployments.storage.keeper import ResponseKeeper


class Service(AnsweringService, Protocol):
    """The router, as the HTTP surface sees it."""

    @property
    def gate(self) -> Gate:
        """The keys in force, their rights and limits."""
        ...

    @property
    def last_resort_status(self) -> int:
        """The HTTP status of a last-resort answer."""
        ...

    @property
    def cors_origins(self) -> Sequence[str]:
        """The origins whose pages may ask from a browser; none where that is off."""
        ...

    @property
    def keeper(self) -> ResponseKeeper:
        """Keeps responses; off unless the policy names a store."""
        ...

    def last_resort(self, *, refusal: bool) -> Answer:
        """Return the last resort for a request that broke outside of the chain; `refusal` as in `turn_away`."""
        ...

    def arrival(self) -> AbstractContextManager[None]:
        """Return a context manager to hold while a request is read: such requests count towards `overloaded`."""
        ...

    async def tokenize(self, asked: TokensRequest) -> Answer:
        """Return what a model's tokenizer answers; an answer that is `unavailable` where it does not.

        Raises:
            InvalidRequestError: there is no such model, or none with a tokenizer that takes the question.
        """
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

    async def status_of_all(self) -> dict[str, Any]:
        """Return the body of `GET /status`: what all routers know and have done."""
        ...

    async def fallbacks_of_all(self, query: FallbackQuery) -> dict[str, Any]:
        """Return the body of `GET /v1/fallbacks`: the fallbacks of all routers that `query` asks for."""
        ...

    async def act(self, act: Act) -> dict[str, Any]:
        """Do what an operator asks for in all routers; return in how many, and which were not heard, and why."""
        ...

    def require_admin(self) -> None:
        """Do nothing where the caller may act as an operator.

        Raises:
            InvalidRequestError: the key of the request is not an admin's.
        """
        ...

    def warnings(self) -> list[str]:
        """Return what an operator should mend before something happens."""
        ...

    async def run(self) -> None:
        """Run the background tasks until this is cancelled."""
        ...
