"""Which models there are, as the router knows it: found by asking Serve, kept while Serve cannot be asked."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from deployments import telemetry
from deployments.calls import Application, ServeCaller
from deployments.policy.outcome import UNKNOWN_MODEL, Failed, Outcome, Refused, StreamItem
from deployments.request import InferenceRequest

_DESCRIBE_TIMEOUT_S = 1.0
_STATUS_TIMEOUT_S = 10.0

T = TypeVar("T", bound=StreamItem | Outcome)


class Cluster(Protocol):
    """What the directory needs of Serve; `calls.ServeCluster` is the real one."""

    @property
    def own_application(self) -> str:
        """The router's own application."""
        ...

    async def applications(self) -> dict[str, Application]:
        """Every model's application, and the router's own."""
        ...

    def caller(self, name: str) -> ServeCaller:
        """How a model is reached."""
        ...


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The caller of a model that does not exist, or whose application could not be built."""

    why: str

    async def call(self, request: InferenceRequest, budget_s: float) -> Outcome:  # noqa: ARG002 - Caller
        """Refuse."""
        return Refused(self.why)

    async def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:  # noqa: ARG002
        """Refuse."""
        yield Refused(self.why)

    async def describe(self) -> dict[str, Any]:
        """It has failed."""
        return {"state": "failed", "reason": self.why}


@dataclass(slots=True)
class Entry:
    """One model, or the backup.

    Attributes:
        application: what Serve says of it.
        caller: how it is reached.
        described: what a replica last said of itself; empty while none has.
    """

    application: Application
    caller: ServeCaller | Unreachable
    described: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """`ready`, `loading`, `failed` (its replica could not load it, or Serve could not start it)."""
        if self.application.running:
            return str(self.described.get("state", "loading"))
        return "failed" if self.application.status == "DEPLOY_FAILED" else "loading"

    @property
    def reason(self) -> str:
        """Why it is not ready."""
        return str(self.described.get("reason", "")) or self.application.message

    async def call(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Make one attempt, unless no replica could take it: Serve would let it wait for one."""
        if not self.application.running:
            return self._unready()
        return self._honest(await self.caller.call(request, budget_s))

    async def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:
        """The same for a streamed attempt."""
        if not self.application.running:
            yield self._unready()
            return
        async with aclosing(self.caller.stream(request, budget_s)) as items:
            async for item in items:
                yield item if isinstance(item, str) else self._honest(item)

    def _unready(self) -> Refused:
        if self.state == "failed":
            return Refused(f"it failed to start: {self.reason}")
        return Refused("not ready: no replica has started yet")

    def _honest(self, outcome: T) -> T:
        """A replica's death is transient where there is another one: a single one takes seconds to be replaced."""
        if isinstance(outcome, Failed) and outcome.transient and self.application.running == 1:
            return replace(outcome, transient=False)
        return outcome

    def to_json(self) -> dict[str, Any]:
        """For `/status`."""
        return {
            "state": self.state,
            "reason": self.reason if self.state == "failed" else "",
            "replicas": {"running": self.application.running, "starting": self.application.starting},
            **{key: value for key, value in self.described.items() if key not in {"state", "reason"}},
        }


class Directory:
    """All models and the backup. Refreshed by `watch`; readers see the last state that Serve gave."""

    def __init__(self, cluster: Cluster, backup: ServeCaller) -> None:
        self._cluster = cluster
        self.models: dict[str, Entry] = {}
        # Taken for running until Serve has been asked: a router that cannot ask must still try it.
        self.backup = Entry(Application(cluster.own_application, "", "", 1, 0, 0.0), backup)
        self._trouble = ""
        self._refreshed = -math.inf

    def find(self, model: str) -> Entry | Unreachable:
        """How `model` is reached."""
        return self.models.get(model) or Unreachable(UNKNOWN_MODEL)

    async def watch(self, interval_s: Callable[[], float]) -> None:
        """Refresh for ever; `interval_s` says after how many seconds each time, as it may be changed."""
        while True:
            await asyncio.sleep(interval_s())
            await self.refresh()

    async def refresh(self) -> None:
        """Ask Serve once; when that fails, what was known before holds."""
        try:
            async with asyncio.timeout(_STATUS_TIMEOUT_S):
                applications = await self._cluster.applications()
            self._take_over(applications)
        except Exception as error:  # noqa: BLE001 - the controller may be restarting: the next refresh asks again
            self._report(f"{type(error).__name__}: {error}")
            return
        self._report("")
        self._refreshed = asyncio.get_running_loop().time()
        await asyncio.gather(*(self._describe(entry) for entry in (self.backup, *self.models.values())))

    def _take_over(self, applications: dict[str, Application]) -> None:
        own = applications.pop(self._cluster.own_application, None)
        if own is not None:
            self.backup = self._renewed(self.backup, own)
        for name in self.models.keys() - applications.keys():
            del self.models[name]
            telemetry.model_gone(name)
        for name, application in applications.items():
            known = self.models.get(name)
            if known is None or known.application.built != application.built:
                caller = self._cluster.caller(name) if application.built else Unreachable(application.message)
                self.models[name] = Entry(application, caller)
                telemetry.model_found(name)
            else:
                self.models[name] = self._renewed(known, application)

    def age_s(self) -> float:
        """Seconds since Serve last told; infinite before the first time."""
        return asyncio.get_running_loop().time() - self._refreshed

    def _report(self, trouble: str) -> None:
        """One line when Serve cannot be asked, not one for each time it is tried."""
        if trouble and trouble != self._trouble:
            telemetry.discovery_failed(trouble)
        self._trouble = trouble

    @staticmethod
    def _renewed(known: Entry, application: Application) -> Entry:
        same = known.application.deployed_at in {application.deployed_at, 0.0}
        described = known.described if same and application.running else {}
        return Entry(application, known.caller, described)

    @staticmethod
    async def _describe(entry: Entry) -> None:
        """Ask a replica how it is, until it has said that it is ready."""
        if not entry.application.running or entry.state == "ready":
            return
        # In a task of its own: a replica that goes down cancels the call, which must not cancel its caller.
        asking = asyncio.ensure_future(entry.caller.describe())
        await asyncio.wait({asking}, timeout=_DESCRIBE_TIMEOUT_S)
        if asking.done() and not asking.cancelled() and asking.exception() is None:
            entry.described = asking.result()
            return
        asking.cancel()
        entry.described = {"state": "loading", "reason": "its replica does not say how it is"}
