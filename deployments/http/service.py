"""The interface of the router that the HTTP surface needs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from deployments.access.gate import Gate
from deployments.execution.service import AnsweringService
from deployments.policy.answer import Answer
from deployments.request.tokens import TokensRequest


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

    async def run(self) -> None:
        """Run the background tasks until this is cancelled."""
        ...
