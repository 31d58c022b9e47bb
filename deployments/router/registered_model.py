"""One model, or the backup, as the router knows it: what Serve says of it, what a replica says, how it is reached.

ready      a replica takes requests
loading    none does yet
idle       scaled to zero: the first request is refused, and wakes it
failed     its version could not be started, or its replica says that it cannot load it
"""

import asyncio
import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.execution.attempt import Begun
from deployments.policy.outcome import Outcome, Refused
from deployments.ray_serve.cluster import DeployedApplication
from deployments.request import InferenceRequest

_DESCRIBE_TIMEOUT_S = 1.0
_WAKE_TIMEOUT_S = 600.0


class ModelReplicas(Protocol):
    """How the replicas of one model are reached; `ray_serve.handle.ServeReplicas` is the real one."""

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Callable[[], bool]) -> Outcome | Begun:
        """Make one attempt on one replica; `alone` says whether there is no other one to repeat it on."""
        ...

    def lost(self, actors: Collection[str]) -> int:
        """How many of the replicas that are these actors have been found dead."""
        ...

    def member(self, name: str) -> "ModelReplicas":
        """Of a pool: how its model `name` is reached."""
        ...

    async def describe(self) -> dict[str, Any]:
        """Ask one replica how it is."""
        ...


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The replicas of a model that does not exist, or whose application could not be built."""

    why: str

    async def start(
        self,
        request: InferenceRequest,  # noqa: ARG002 - as of what can be reached
        budget_s: float,  # noqa: ARG002
        *,
        alone: Callable[[], bool] = lambda: True,  # noqa: ARG002
    ) -> Outcome | Begun:
        """Refuse."""
        return Refused(self.why)

    def lost(self, actors: Collection[str]) -> int:  # noqa: ARG002 - as of what can be reached
        """It has none to lose."""
        return 0

    def member(self, name: str) -> "Unreachable":  # noqa: ARG002 - as of a pool
        """Nothing of it can be reached."""
        return self

    async def describe(self) -> dict[str, Any]:
        """It has failed."""
        return {"state": "failed", "reason": self.why}


@dataclass(slots=True)
class RegisteredModel:
    """One model, or the backup.

    Attributes:
        application: what Serve says of it.
        replicas: how it is reached.
        described: what a replica last said of itself; empty while none has.
        settled: the replica that said so is of the version that is to run.
        last: nobody is behind it, so that a call does better to wait for a new replica than to be refused, for as long
            as Serve has not seen that the old one is lost.
        waking: keeps a call waiting for a model that is idle, which has Serve start a replica.
    """

    application: DeployedApplication
    replicas: ModelReplicas
    described: dict[str, Any] = field(default_factory=dict)
    settled: bool = False
    last: bool = False
    waking: "asyncio.Task[None] | None" = None

    @property
    def state(self) -> str:
        """See the module's table."""
        if self.running:
            return str(self.described.get("state", "loading"))
        if self.application.idle:
            return "idle"
        return "failed" if self.application.status == "DEPLOY_FAILED" else "loading"

    @property
    def running(self) -> int:
        """Replicas that take requests: those that Serve counts, without those that calls have lost."""
        return self.application.running - (0 if self.last else self.replicas.lost(self.application.actors))

    @property
    def reason(self) -> str:
        """Why it is not ready."""
        if self.application.running and not self.running:
            return "its replica has been lost"
        return str(self.described.get("reason", "")) or self.application.message

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Make one attempt, unless no replica could take it: Serve would let it wait for one."""
        if not self.running:
            return self._unready()
        return await self.replicas.start(request, budget_s, alone=self._is_alone)

    def renewed(self, application: DeployedApplication) -> "RegisteredModel":
        """The same with what Serve says now; what its replicas have said holds for the version that said it."""
        same = self.application.deployed_at in {application.deployed_at, 0.0}
        described = self.described if same and application.running else {}
        settled = self.settled and bool(described)
        return dataclasses.replace(self, application=application, described=described, settled=settled)

    async def ask(self) -> None:
        """Ask a replica how it is, until it has said that it is ready, and is of the version that is to run."""
        if not self.running or (self.state == "ready" and self.settled):
            return
        settled = self.application.status == "RUNNING"
        # In a task of its own: a replica that goes down cancels the call, which must not cancel whoever asked.
        asking = asyncio.ensure_future(self.replicas.describe())
        await asyncio.wait({asking}, timeout=_DESCRIBE_TIMEOUT_S)
        if asking.done() and not asking.cancelled() and asking.exception() is None:
            self.described, self.settled = asking.result(), settled
            return
        asking.cancel()
        self.described = {"state": "loading", "reason": "its replica does not say how it is"}

    def to_json(self) -> dict[str, Any]:
        """For `/status`."""
        shown = {
            "state": self.state,
            "reason": "" if self.state == "ready" else self.reason,
            "replicas": {"running": self.running, "starting": self.application.starting},
            **{key: value for key, value in self.described.items() if key not in {"state", "reason", "models"}},
        }
        if self.application.running and self.application.status == "DEPLOY_FAILED":
            shown["update_failed"] = self.application.message
        return shown

    def _unready(self) -> Refused:
        match self.state:
            case "failed":
                return Refused(f"it failed to start: {self.reason}")
            case "idle":
                self._wake()
                return Refused("not ready: no replica runs, one is being woken", soon=True)
            case _:
                return Refused(f"not ready: {self.reason or 'no replica has started yet'}", soon=True)

    def _wake(self) -> None:
        """Have Serve start a replica: it does so for a call that waits, and forgets one that is given up."""
        if self.waking is None or self.waking.done():
            self.waking = asyncio.ensure_future(self._wait_for_a_replica())

    async def _wait_for_a_replica(self) -> None:
        waiting = asyncio.ensure_future(self.replicas.describe())
        await asyncio.wait({waiting}, timeout=_WAKE_TIMEOUT_S)
        if not waiting.done():
            waiting.cancel()
        elif not waiting.cancelled():
            waiting.exception()  # whatever it was: the next refresh tells how the model is

    def _is_alone(self) -> bool:
        """No other replica could take what one has dropped."""
        return self.application.running == 1 or not self.running
