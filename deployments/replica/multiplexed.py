"""The replica of a pool: many small models in one process, each loaded when it is asked for.

Serve's multiplexing keeps the models that a replica holds, and puts out the one that was used least recently. It also
sends a request to a replica that holds its model, where there is one. Here, `keep` stands for it.

A model whose load fails is not loaded again by the next request: a load may take minutes and gigabytes, which the other
models of the process pay for. It pauses first, and each failure in a row doubles the pause.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from deployments.formats import LoadProgress, ServedModel, load_model
from deployments.observability import log
from deployments.policy.backoff import Backoff
from deployments.policy.outcome import Refused
from deployments.policy.serving_state import ServingState
from deployments.ray_serve.errors import LoadFailedError
from deployments.replica.answers import AnswerCount
from deployments.replica.engine_figures import export_engine
from deployments.replica.loading import BackgroundLoad
from deployments.replica.replica import Replica, require_progress
from deployments.settings import ModelSpec

Load = Callable[[str], Awaitable[ServedModel]]

_RELOADS = Backoff(first_s=1.0, longest_s=60.0)
"""The pauses before a model that could not be loaded is loaded again."""


@dataclass(frozen=True, slots=True)
class _FailedLoad:
    """The last load of a model, which has failed.

    Attributes:
        reason: why, in one line.
        in_a_row: the loads of the model that have failed since one has not.
        until: when the model may be loaded again.
    """

    reason: str
    in_a_row: int
    until: float

    @classmethod
    def after(cls, before: "_FailedLoad | None", reason: str, now: float) -> "_FailedLoad":
        """A load that has failed now; `before` is the failed load right before it, if there was one."""
        in_a_row = before.in_a_row + 1 if before else 1
        return cls(reason, in_a_row, now + _RELOADS.pause_s(in_a_row))

    def refused(self, now: float) -> Refused:
        """Return the refusal of a request during the pause."""
        return Refused(f"it could not be loaded: {self.reason}", retry_after_s=self.until - now)


class PoolReplica(Replica):
    """Serves the models of several specs, as many at a time as its keeper allows."""

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        cache: str,
        *,
        keep: Callable[[Load], Load],
        asked: Callable[[], str],
        stall_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load nothing yet.

        Args:
            specs: the specs of the models, each with an id of its own.
            cache: the cache folder's absolute path on this node.
            keep: turns a function that loads into one that keeps what it has loaded.
            asked: gives the id of the model that the running request is for.
            stall_s: seconds after which work that does not advance fails the health check.
            clock: seconds since any moment, by which pauses after failed loads are measured.
        """
        self._specs = {spec.id: spec for spec in specs}
        self.answers = AnswerCount()
        self._cache = Path(cache)
        self._get = keep(self._load)
        self._asked = asked
        self._stall_s = stall_s
        self._clock = clock
        self._getting: dict[str, asyncio.Task[ServedModel | Refused]] = {}
        self._failed: dict[str, _FailedLoad] = {}
        # A model that was put out is in here for as long as a call of it is under way.
        self._loaded: WeakKeyDictionary[ServedModel, str] = WeakKeyDictionary()

    async def chosen(self) -> tuple[str, ServedModel | Refused]:
        """The model that the request is for. Waits for its load, which goes on if the request is cancelled."""
        name = self._asked()
        if name not in self._specs:
            return name, Refused(f"the pool has no model {name!r}")
        getting = self._getting.get(name)
        if getting is None:
            now = self._clock()
            if (failed := self._failed.get(name)) and now < failed.until:
                return name, failed.refused(now)
            getting = self._getting[name] = asyncio.ensure_future(self._kept(name))
            getting.add_done_callback(lambda _: self._getting.pop(name))
        return name, await asyncio.shield(getting)

    async def describe(self) -> dict[str, Any]:
        """The state of every model, for the router: ready unless its last load failed, as asking for it loads it."""
        models = {name: {"state": ServingState.READY, "reason": ""} for name in self._specs}
        failed = {name: {"state": ServingState.FAILED, "reason": load.reason} for name, load in self._failed.items()}
        return {"state": ServingState.READY, "reason": "", "models": models | failed}

    async def check_health(self) -> None:
        """Require that every model with work advances: one that is stuck can only be replaced with its process.

        A model that cannot be loaded leaves the process healthy.

        Raises:
            StalledError: the work of a model does not advance.
            FruitlessError: every request fails or hangs, whichever model it is for that has answered before.
        """
        for model, name in list(self._loaded.items()):
            export_engine(name, model.describe())
            require_progress(name, model.stalled_s(), self._stall_s)
        self.answers.require_answers("pool")

    async def _kept(self, name: str) -> ServedModel | Refused:
        """The model, loaded if it is not kept; refused if its load fails."""
        try:
            model = await self._get(name)
        except Exception as error:  # noqa: BLE001 - the keeper is Serve's, and what it raises is a failed load, too
            reason = str(error) if isinstance(error, LoadFailedError) else f"{type(error).__name__}: {error}"
            if not isinstance(error, LoadFailedError):
                log.internal_error("pool", name, error)
            now = self._clock()
            failed = self._failed[name] = _FailedLoad.after(self._failed.get(name), reason, now)
            return failed.refused(now)
        self._failed.pop(name, None)
        self._loaded[model] = name
        return model

    async def _load(self, name: str) -> ServedModel:
        spec = self._specs[name]
        progress = LoadProgress()
        loading = BackgroundLoad(
            name, lambda: load_model(spec, self._cache, progress), spec.load_timeout_seconds, progress
        )
        return await loading.ended()
