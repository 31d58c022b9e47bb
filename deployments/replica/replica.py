"""The replica of one model, and what all replicas have in common."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

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
        """Answer `request` within `budget_s` seconds; everything but cancellation is an outcome."""
        name, model = await self.chosen()
        if isinstance(model, Refused):
            return model
        try:
            return await model.infer(request, budget_s)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a model's own code: its failure is the attempt's outcome
            log.model_raised(name, error)
            return Failed(f"{type(error).__name__}: {error}")

    async def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:
        """Answer piece by piece; everything but cancellation is the end of the stream."""
        name, model = await self.chosen()
        if isinstance(model, Refused):
            yield model
            return
        try:
            async with aclosing(model.stream(request, budget_s)) as items:
                async for item in items:
                    yield item
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a model's own code: its failure ends the stream
            log.model_raised(name, error)
            yield Failed(f"{type(error).__name__}: {error}")


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
