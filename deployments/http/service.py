"""The interface of the router that the HTTP surface needs."""

from contextlib import AbstractContextManager
from typing import Protocol

from deployments.execution.service import AnsweringService
from deployments.policy.answer import Answer


class Service(AnsweringService, Protocol):
    """The router, as the HTTP surface sees it."""

    @property
    def last_resort_status(self) -> int:
        """The HTTP status of a last-resort answer."""
        ...

    def last_resort(self, *, refusal: bool) -> Answer:
        """Return the last resort for a request that broke outside of the chain; `refusal` as in `turn_away`."""
        ...

    def arrival(self) -> AbstractContextManager[None]:
        """Return a context manager to hold while a request is read: such requests count towards `overloaded`."""
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
