"""The replica of a pool: many small models in one process, loaded when they are asked for, least recently used out.

Which of them a replica holds is kept by Serve's multiplexing, which also sends a request to a replica that holds its
model, where there is one. Without Serve: `loader` is what turns a load into a kept one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from deployments.formats import ServedModel, load_model
from deployments.observability import log
from deployments.policy.outcome import Refused
from deployments.ray_serve.errors import LoadFailedError
from deployments.replica.loading import BackgroundLoad
from deployments.replica.replica import Replica
from deployments.settings import ModelSpec

Load = Callable[[str], Awaitable[ServedModel]]


class PoolReplica(Replica):
    """Serves the models of several specs, as many at a time as its keeper allows."""

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        cache: str,
        *,
        keep: Callable[[Load], Load],
        asked: Callable[[], str],
    ) -> None:
        """Load nothing yet.

        Args:
            specs: of the models, their ids differing.
            cache: the cache folder's absolute path on this node.
            keep: makes of a load one that keeps what it has loaded.
            asked: the id of the model that the running request is for.
        """
        self._specs = {spec.id: spec for spec in specs}
        self._cache = Path(cache)
        self._get = keep(self._load)
        self._asked = asked
        self._getting: dict[str, asyncio.Task[ServedModel]] = {}
        self._failed: dict[str, str] = {}

    async def chosen(self) -> tuple[str, ServedModel | Refused]:
        """The model that the request is for; waits for its load, which goes on where the request does not."""
        name = self._asked()
        if name not in self._specs:
            return name, Refused(f"the pool has no model {name!r}")
        getting = self._getting.get(name)
        if getting is None:
            getting = self._getting[name] = asyncio.ensure_future(self._get(name))
            getting.add_done_callback(lambda done: self._got(name, done))
        try:
            return name, await asyncio.shield(getting)
        except LoadFailedError as error:
            return name, Refused(f"it could not be loaded: {error}")

    async def describe(self) -> dict[str, Any]:
        """How it is, for the router: every model is ready that has not failed, as asking loads it."""
        models = {
            name: {"state": "failed" if name in self._failed else "ready", "reason": self._failed.get(name, "")}
            for name in self._specs
        }
        return {"state": "ready", "reason": "", "models": models}

    async def check_health(self) -> None:
        """Healthy from the start: a model that cannot be loaded takes no other with it."""

    async def _load(self, name: str) -> ServedModel:
        spec = self._specs[name]
        return await BackgroundLoad(name, lambda: load_model(spec, self._cache), spec.load_timeout_seconds).ended()

    def _got(self, name: str, done: "asyncio.Task[ServedModel]") -> None:
        del self._getting[name]
        if done.cancelled():
            return
        if error := done.exception():
            self._failed[name] = str(error)
            if not isinstance(error, LoadFailedError):
                log.internal_error("pool", name, error)
        else:
            self._failed.pop(name, None)
