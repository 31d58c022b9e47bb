"""Watches the replicas that owe this router answers, and gives up the calls of those that answer no ping.

    ServeReplicas   open ─► ReplicaCall ─► close          each call, and the replica that it was sent to
    ReplicaWatch    pings who owes (`policy.responsiveness`), and cancels the calls of who does not answer
    WatchedRouter   sends no call to a replica that does not answer, while another one does

A call costs an entry in a set. Nobody is pinged while every answer comes within half a second.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.execution.clock import loop_time
from deployments.observability import log
from deployments.policy.ejection import Ejections
from deployments.policy.outcome import Answered, Blank, Failed, Outcome, Refused, TimedOut
from deployments.policy.responsiveness import ReplicaPolicy, Responsiveness

LOOK_S = 0.25
"""Seconds between two looks at who owes an answer."""

HUNG_S = 0.5
"""Seconds that a call must have waited, at least, for its being given up to count against its replica."""

_WEIGHT = 0.1
"""How far a shorter answer draws down what answers of a model take: that is about the longest of the last ones."""

HANDSHAKE_SHARE = 0.25
"""The share of a ping's time after which the replica's process is asked beside for a sign of life."""

PATIENT = 3.0
"""How much longer a ping of a replica may take that is unresponsive already: nobody waits for it."""


class Deployment(Protocol):
    """The replicas of one deployment, each named by the id of its actor; `watched_router` implements it."""

    def hosts(self) -> Mapping[str, str]:
        """Return the host of each replica that calls may be sent to."""
        ...

    async def ping(self, actor: str, *, afresh: bool) -> None:
        """Return once that replica has answered; `afresh` over a new connection. Raises what the transport raises."""
        ...

    async def shake_hands(self, actor: str) -> None:
        """Return once that replica's process has greeted a new connection. Raises `ConnectionError` where it does not.

        Unlike a ping it needs nothing of the process that runs in Python.
        """
        ...


class ReplicaCall:
    """A call that a replica has been sent, or waits to be.

    `told` notes what it has come to.

    Attributes:
        deployment: whose replicas may take it.
        actor: the replica that it was sent to; empty before that.
        started: when, on the event loop's clock.
        unanswered: it was given up, as its replica does not answer.
        response: what Serve gave for it.
        outcome: what it has come to; `Answered` from the first content of a stream on, `None` where it was given up.
        seconds: how long that took.
    """

    __slots__ = ("_clock", "actor", "deployment", "outcome", "response", "seconds", "started", "unanswered")

    def __init__(self, deployment: Deployment) -> None:
        self._clock = asyncio.get_running_loop().time
        self.deployment, self.started = deployment, self._clock()
        self.actor = ""
        self.unanswered = False
        self.response: Any = None
        self.outcome: Outcome | None = None
        self.seconds = 0.0

    def told(self, outcome: Outcome | None) -> None:
        """Note what it has come to; `None` for a sign of life."""
        self.outcome, self.seconds = outcome, self._clock() - self.started

    def give_up(self) -> None:
        """Cancel it, as its replica does not answer."""
        self.unanswered = True
        cancel(self.response)


def cancel(response: Any) -> None:
    """Cancel a call that Serve has taken, down to its replica."""
    # A call that had been refused raises the refusal when it is cancelled: nothing runs.
    with suppress(BackPressureError, DeploymentUnavailableError):
        response.cancel()


def note_sent(actor: str) -> None:
    """Note that the call which the running task makes was sent to the replica `actor`."""
    if (call := _CALL.get()) is not None:
        call.actor = actor


class ReplicaWatch:
    """Watches the replicas of all deployments that one router calls."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._names: dict[Deployment, str] = {}
        self._usual_s: dict[Deployment, float] = {}
        self._calls: set[ReplicaCall] = set()
        self._state = Responsiveness()
        self._ejections = Ejections()
        self._pings: set[asyncio.Task[None]] = set()

    @property
    def unresponsive(self) -> frozenset[str]:
        """The replicas that do not answer."""
        return self._state.unresponsive

    def add(self, name: str, deployment: Deployment) -> None:
        """Watch the replicas of `deployment`, too, which log lines call `name`; none that had that name before."""
        self._names = {each: known for each, known in self._names.items() if known != name} | {deployment: name}
        self._usual_s = {each: seconds for each, seconds in self._usual_s.items() if each in self._names}

    def open(self, deployment: Deployment) -> ReplicaCall:
        """Begin a call, which the running task is about to send."""
        call = ReplicaCall(deployment)
        self._calls.add(call)
        _CALL.set(call)
        return call

    def close(self, call: ReplicaCall) -> None:
        """End a call, and judge its replica by what it has come to.

        A call that was given up, or whose time was over, counts against its replica if it was waited for longer than
        the last answers of its model took: else it may be its caller's deadline that is short. A replica that answers
        no ping is not judged: nobody knows what it would have said.
        """
        self._calls.discard(call)
        if not call.actor or call.unanswered:
            return
        outcome = call.outcome
        if isinstance(outcome, Answered):
            self._ejections.answered(call.actor)
            usual_s = self._usual_s.get(call.deployment, 0.0)
            self._usual_s[call.deployment] = max(call.seconds, usual_s + _WEIGHT * (call.seconds - usual_s))
        elif isinstance(outcome, Refused):
            if outcome.soon:
                self._ejections.loads(call.actor, loop_time())
        elif _is_failure(outcome) or (isinstance(outcome, TimedOut | None) and self._was_long(call)):
            self._fail(call)

    def _was_long(self, call: ReplicaCall) -> bool:
        """Return whether a call has waited for longer than answers of its model do; false where none has answered."""
        return loop_time() - call.started >= max(HUNG_S, self._usual_s.get(call.deployment, math.inf))

    def is_fit(self, actor: str) -> bool:
        """Return whether a replica answers pings, does not fail every call, and has not just failed or refused one."""
        return actor not in self.unresponsive and not self._ejections.is_passed_over(actor, loop_time())

    def _fail(self, call: ReplicaCall) -> None:
        if self._ejections.failed(call.actor, loop_time()) and len(call.deployment.hosts()) > 1:
            log.replica_ejected(self._names.get(call.deployment, ""), call.actor)

    async def run(self, policy: Callable[[], ReplicaPolicy]) -> None:
        """Watch for ever, by the policy of the moment."""
        try:
            while True:
                self._look(policy())
                await asyncio.sleep(LOOK_S)
        finally:
            for ping in self._pings:
                ping.cancel()

    def _look(self, policy: ReplicaPolicy) -> None:
        if not self._calls and not self.unresponsive:
            return
        now = loop_time()
        known = {each: each.hosts() for each in self._names}
        where = {actor: each for each, hosts in known.items() for actor in hosts}
        self._state.update({actor: known[each][actor] for actor, each in where.items()})
        owing: set[str] = set()
        for call in self._calls:
            if now - call.started >= policy.ping_after_seconds:
                owing.update((call.actor,) if call.actor else known.get(call.deployment, ()))
        for actor in self._state.due(policy, owing, now):
            ping = asyncio.ensure_future(self._ping(where[actor], actor, policy.ping_seconds))
            self._pings.add(ping)
            ping.add_done_callback(partial(self._pinged, actor))
        self._give_up()

    def _pinged(self, actor: str, ping: "asyncio.Task[None]") -> None:
        """End a ping. One that was stopped, or broke, tells nothing: the replica is pinged again."""
        self._pings.discard(ping)
        if ping.cancelled() or ping.exception() is not None:
            self._state.unanswered(actor, math.inf)
        if not ping.cancelled() and (error := ping.exception()) is not None:
            log.internal_error("ping", "", error)

    async def _ping(self, deployment: Deployment, actor: str, seconds: float) -> None:
        name, known = self._names.get(deployment, ""), actor in self.unresponsive
        due = loop_time() + (PATIENT * seconds if known else seconds)
        # A task of its own: what becomes of the call must not cancel this one.
        pinging = asyncio.ensure_future(deployment.ping(actor, afresh=known))
        try:
            if not known and await self._is_only_busy(deployment, actor, pinging, due):
                self._state.busy(actor)
                return
            await asyncio.wait({pinging}, timeout=due - loop_time())
            if _has_answered(pinging):
                if self._state.answered(actor):
                    log.replica_responsive(name, actor)
            elif self._state.unanswered(actor, loop_time() - due if not pinging.done() else 0.0):
                log.replica_unresponsive(name, actor, seconds)
                self._give_up()
        finally:
            pinging.cancel()

    @staticmethod
    async def _is_only_busy(deployment: Deployment, actor: str, pinging: "asyncio.Task[None]", due: float) -> bool:
        """Return whether a replica that does not answer its ping shows until `due` that its process lives."""
        await asyncio.wait({pinging}, timeout=HANDSHAKE_SHARE * (due - loop_time()))
        if pinging.done():
            return False
        shaking = asyncio.ensure_future(deployment.shake_hands(actor))
        try:
            await asyncio.wait({pinging, shaking}, timeout=due - loop_time(), return_when=asyncio.FIRST_COMPLETED)
            greeted = shaking.done() and not shaking.cancelled() and shaking.exception() is None
            return greeted and not pinging.done()
        finally:
            shaking.cancel()

    def _give_up(self) -> None:
        """Give up the calls that were sent to replicas which do not answer, or that wait while none answers."""
        if not (mute := self.unresponsive):
            return
        for call in list(self._calls):
            asked = (call.actor,) if call.actor else tuple(call.deployment.hosts())
            if asked and mute.issuperset(asked) and not call.unanswered:
                call.give_up()


def _is_failure(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Blank) or (isinstance(outcome, Failed) and not outcome.misfit)


def _has_answered(pinging: "asyncio.Task[None]") -> bool:
    """Return whether a replica has answered, be it that it knows no ping."""
    return pinging.done() and not pinging.cancelled() and not isinstance(pinging.exception(), ConnectionError)


class Unwatched:
    """Stands for the replicas of a deployment that nobody watches."""

    def hosts(self) -> Mapping[str, str]:
        """Return none."""
        return {}

    async def ping(self, actor: str, *, afresh: bool) -> None:  # noqa: ARG002 - as of a deployment
        """Raise that there is none."""
        raise ConnectionError(f"there is no replica {actor}")

    async def shake_hands(self, actor: str) -> None:
        """Raise that there is none."""
        raise ConnectionError(f"there is no replica {actor}")


_CALL: ContextVar[ReplicaCall | None] = ContextVar("call", default=None)
