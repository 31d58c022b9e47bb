"""One model, or the backup, as the router knows it: its state by Serve, its state by a replica, and its replicas."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from msgspec import structs

from deployments.execution.attempt import Begun
from deployments.policy.outcome import NOT_READY, UNKNOWN_MODEL, Outcome, Refused
from deployments.policy.reason import loading_for
from deployments.policy.serving_state import ServingState
from deployments.ray_serve.cluster import DeployedApplication
from deployments.request import InferenceRequest
from deployments.request.tokens import TokensRequest
from deployments.router.model_replicas import ModelReplicas
from deployments.settings.offer import NO_OFFER, Offer

_DESCRIBE_TIMEOUT_S = 1.0
_WAKE_TIMEOUT_S = 600.0


class Readiness(Enum):
    """Whether a candidate can take a request."""

    NOW = auto()
    SOON = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Stands in for the replicas of a model that does not exist, could not be built, or is not known yet (`soon`)."""

    why: str
    soon: bool = False

    @property
    def offer(self) -> Offer | None:
        """What it offers: nothing where it does not exist; not known where that is not known either."""
        return NO_OFFER if self.why == UNKNOWN_MODEL else None

    @property
    def readiness(self) -> Readiness:
        """Whether it can take a request soon or never."""
        return Readiness.SOON if self.soon else Readiness.NEVER

    async def start(
        self,
        request: InferenceRequest,  # noqa: ARG002 - as of what can be reached
        budget_s: float,  # noqa: ARG002
        *,
        alone: Callable[[], bool] = lambda: True,  # noqa: ARG002
    ) -> Outcome | Begun:
        """Refuse the request."""
        return Refused(self.why, soon=self.soon)

    async def tokenize(self, asked: TokensRequest) -> Outcome:  # noqa: ARG002 - as of what can be reached
        """Refuse the question."""
        return Refused(self.why, soon=self.soon)

    def lost(self, actors: Collection[str]) -> int:  # noqa: ARG002 - as of what can be reached
        """Return 0: there are no replicas."""
        return 0

    def unresponsive(self, actors: Collection[str]) -> int:  # noqa: ARG002 - as of what can be reached
        """Return 0: there are no replicas."""
        return 0

    def member(self, name: str) -> "Unreachable":  # noqa: ARG002 - as of a pool
        """Return this: no model of the pool can be reached."""
        return self

    async def loading(self, actors: Collection[str]) -> dict[str, Any]:  # noqa: ARG002 - as of what can be reached
        """Return nothing: nobody loads."""
        return {}

    async def describe(self) -> dict[str, Any]:
        """Return that it has failed."""
        return {"state": ServingState.FAILED, "reason": self.why}

    async def describe_all(self) -> Sequence[Mapping[str, Any]]:
        """Return that it has failed."""
        return [await self.describe()]


@dataclass(slots=True)
class RegisteredModel:
    """One model, or the backup.

    Attributes:
        application: the application as Serve describes it.
        replicas: the way to its replicas.
        described: the last description that a replica gave of itself; empty before the first.
        settled: that replica is of the version that is to run.
        last: no candidate is behind this one. While Serve has not noticed that its only replica died, a call then waits
            for the new replica instead of being refused.
        waking: a call that waits for an idle model, so that Serve starts a replica.
        wall_clock: seconds since 1970.
    """

    application: DeployedApplication
    replicas: ModelReplicas
    described: dict[str, Any] = field(default_factory=dict)
    settled: bool = False
    last: bool = False
    waking: "asyncio.Task[None] | None" = None
    wall_clock: Callable[[], float] = time.time

    @property
    def state(self) -> ServingState:
        """The state, by Serve and by a replica."""
        if self.running:
            return ServingState.of(self.described)
        if self.application.running:
            return ServingState.LOADING  # they are being replaced, or may answer again at any moment
        if self.application.idle:
            return ServingState.IDLE
        return ServingState.FAILED if self.application.status == "DEPLOY_FAILED" else ServingState.LOADING

    @property
    def readiness(self) -> Readiness:
        """Whether it can take a request now, soon or never."""
        match self.state:
            case ServingState.READY:
                return Readiness.NOW
            case ServingState.FAILED:
                return Readiness.NEVER
            case _:
                return Readiness.SOON

    @property
    def offer(self) -> Offer | None:
        """What its application offers; `None` where that is not known yet."""
        return self.application.offer

    @property
    def running(self) -> int:
        """The number of replicas that take requests: without those that calls found dead, or that answer no ping."""
        actors = self.application.actors
        lost = 0 if self.last else self.replicas.lost(actors)
        return self.application.running - lost - (self.replicas.unresponsive(actors) if actors else 0)

    @property
    def reason(self) -> str:
        """The reason why the model is not ready."""
        if self.application.running and not self.running:
            mute = self.replicas.unresponsive(self.application.actors)
            return "its replicas answer no ping" if mute else "its replica has been lost"
        told = str(self.described.get("reason", "")) or self.application.message
        if not told and self.state is ServingState.LOADING and self.application.starting_since:
            return loading_for(self.wall_clock() - self.application.starting_since)
        return told

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Make one attempt; refuse it where no replica takes requests, as Serve would let it wait for one."""
        if not self.running:
            return self._unready()
        outcome = await self.replicas.start(request, budget_s, alone=self._is_alone)
        if isinstance(outcome, Refused) and outcome.soon and self._is_alone():
            # It counts at once: who waits for the model would else be sent to it again and again. Of several replicas
            # another one may take requests, and the model is asked again.
            outcome = structs.replace(outcome, transient=False)
            reason = outcome.reason.removeprefix(NOT_READY)
            self.described, self.settled = {**self.described, "state": ServingState.LOADING, "reason": reason}, False
        return outcome

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        """Ask a replica's tokenizer; refused where no replica takes requests."""
        return await self.replicas.tokenize(asked) if self.running else self._unready()

    def renewed(self, application: DeployedApplication) -> "RegisteredModel":
        """Return the model with a new state by Serve. A replica's description is kept while its version runs."""
        same = self.application.deployed_at in {application.deployed_at, 0.0}
        described = self.described if same and application.running else {}
        settled = self.settled and bool(described)
        return dataclasses.replace(
            self,
            application=application,
            described=described,
            settled=settled,
        )

    async def ask(self) -> None:
        """Ask a replica for its description, unless one of the version that is to run has said that it is ready.

        One that runs a server is asked each time: it is not ready while its server is started again. The model is
        while one of its replicas is.
        """
        if not self.running:
            if self.application.loading:
                self.described = await _asked(self.replicas.loading(self.application.loading)) or {}
            return
        runs_server = self.offer is not None and self.offer.passes_on
        if self.state is ServingState.READY and self.settled and not runs_server:
            return
        settled = self.application.status == "RUNNING"
        question = self._describe_best() if runs_server and self.running > 1 else self.replicas.describe()
        if (described := await _asked(question)) is not None:
            self.described, self.settled = described, settled
            return
        if self.state is ServingState.READY and self.settled:
            return  # it is asked each time, and is busy: only what it says itself changes what is known of it
        self.described = {"state": ServingState.LOADING, "reason": "its replica did not describe itself"}

    def to_json(self) -> dict[str, Any]:
        """Return the state, the replicas and the description, for `/status`."""
        shown = {
            "state": self.state,
            "reason": "" if self.state is ServingState.READY else self.reason,
            "replicas": {"running": self.running, "starting": self.application.starting},
            **{key: value for key, value in self.described.items() if key not in {"state", "reason", "models"}},
        }
        if self.application.running and self.application.status == "DEPLOY_FAILED":
            shown["update_failed"] = self.application.message
        return shown

    async def _describe_best(self) -> dict[str, Any]:
        """Return what a replica says that takes requests; where none does, what any of them says."""
        told = await self.replicas.describe_all()
        return dict(next((each for each in told if ServingState.of(each) is ServingState.READY), told[0]))

    def _unready(self) -> Refused:
        match self.state:
            case ServingState.FAILED:
                return Refused(f"it failed to start: {self.reason}")
            case ServingState.IDLE:
                self._wake()
                return Refused("not ready: no replica runs, one is being woken", soon=True)
            case _:
                return Refused(f"not ready: {self.reason or 'no replica has started yet'}", soon=True)

    def _wake(self) -> None:
        """Have Serve start a replica: it starts one while a call waits, and none for a call that was given up."""
        if self.waking is None or self.waking.done():
            self.waking = asyncio.ensure_future(self._wait_for_a_replica())

    async def _wait_for_a_replica(self) -> None:
        waiting = asyncio.ensure_future(self.replicas.describe())
        await asyncio.wait({waiting}, timeout=_WAKE_TIMEOUT_S)
        if not waiting.done():
            waiting.cancel()
        elif not waiting.cancelled():
            waiting.exception()  # retrieved and dropped: the next refresh finds out the state

    def _is_alone(self) -> bool:
        """Return whether no other replica could take a retry."""
        return self.application.running == 1 or not self.running


async def _asked(question: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | None:
    """Return the answer of a replica; `None` where there is none in time."""
    # In a task of its own: a replica that goes down cancels the call, and that must not cancel this coroutine.
    asking = asyncio.ensure_future(question)
    await asyncio.wait({asking}, timeout=_DESCRIBE_TIMEOUT_S)
    if asking.done() and not asking.cancelled() and asking.exception() is None:
        return asking.result()
    asking.cancel()
    return None
