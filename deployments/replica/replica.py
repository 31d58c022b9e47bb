"""The replica of one model, and what all replicas have in common."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from deployments.execution.attempt import Begun, as_items
from deployments.formats import ServedModel, load_model
from deployments.observability import log
from deployments.policy.outcome import Failed, Outcome, Refused, StreamItem
from deployments.replica.loading import BackgroundLoad
from deployments.request import InferenceRequest
from deployments.settings import ModelSpec


class Replica(ABC):
    """Answers with a model, and turns whatever it does into an outcome: a plain class, bound to Serve in `app`."""

    @abstractmethod
    async def chosen(self) -> tuple[str, ServedModel | Refused]:
        """What log lines call the model that is asked, and the model or why it cannot be."""

    @abstractmethod
    async def describe(self) -> dict[str, Any]:
        """How it is, for the router."""

    async def infer(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Answer `request` as a whole within `budget_s` seconds; everything but cancellation is an outcome."""
        name, started = await self._start(request, budget_s)
        if not isinstance(started, Begun):
            return started
        try:
            return await started.read_to_end()
        except Exception as error:  # noqa: BLE001 - a model's own code: its failure is the attempt's outcome
            return _raised(name, error)

    async def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:
        """Answer piece by piece; everything but cancellation is the end of the stream."""
        name, started = await self._start(request, budget_s)
        if not isinstance(started, Begun):
            for item in as_items(started):
                yield item
            return
        async with aclosing(started):
            try:
                yield started.first
                while isinstance(item := await started.next(), str):
                    yield item
                yield item
            except Exception as error:  # noqa: BLE001 - a model's own code: its failure ends the stream
                yield _raised(name, error)

    async def _start(self, request: InferenceRequest, budget_s: float) -> tuple[str, Outcome | Begun]:
        """What log lines call the model that is asked, and what it makes of `request`."""
        name, model = await self.chosen()
        if isinstance(model, Refused):
            return name, model
        try:
            return name, await model.start(request, budget_s)
        except Exception as error:  # noqa: BLE001 - a model's own code: its failure is the attempt's outcome
            return name, _raised(name, error)


def _raised(name: str, error: Exception) -> Failed:
    log.model_raised(name, error)
    return Failed(f"{type(error).__name__}: {error}")


class SingleReplica(Replica):
    """Has one model, which it loads in the background."""

    def __init__(self, name: str, load: Callable[[], ServedModel], timeout_s: float) -> None:
        """Start to load; this cannot fail.

        Args:
            name: what log lines call it.
            load: gives the model; see `BackgroundLoad`.
            timeout_s: how long that may take.
        """
        self._name = name
        self._load = BackgroundLoad(name, load, timeout_s)

    async def chosen(self) -> tuple[str, ServedModel | Refused]:
        """The one model."""
        return self._name, self._load.model

    async def describe(self) -> dict[str, Any]:
        """How it is, for the router."""
        return self._load.describe()

    async def check_health(self) -> None:
        """Wait for the model. Raises `LoadFailedError`: see `loading`."""
        await self._load.ended()


class ModelReplica(SingleReplica):
    """Serves the model of one spec."""

    def __init__(self, spec: ModelSpec, cache: str) -> None:
        """Start to load the model of `spec`; `cache` is the cache folder's absolute path on this node."""
        super().__init__(spec.id, lambda: load_model(spec, Path(cache)), spec.load_timeout_seconds)
