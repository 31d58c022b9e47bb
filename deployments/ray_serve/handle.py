"""Calls replicas through Ray Serve's deployment handles, and makes an outcome of every way that can go wrong.

    BackPressureError                          Refused     its queue is full
    DeploymentUnavailableError                 Refused     it keeps failing to start
    RayActorError (died, unavailable), gRPC    Failed      transient: another replica may do it
    no answer to a ping, nor to the call       Failed      transient: see `replica_watch`
    the call cancelled, though not by us       Failed      transient
    anything else                              Failed      and logged: it is not expected

A call that its own caller cancels is cancelled at the replica, too, by `response.cancel()`: a replica goes on with a
response that nobody awaits any more.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from functools import partial
from typing import Any

import grpc
import ray
from ray.exceptions import ActorDiedError, RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.execution.attempt import Begun, begin
from deployments.execution.cancellation import is_own_cancellation
from deployments.observability import log
from deployments.policy.extras import Extras
from deployments.policy.outcome import (
    Answered,
    Blank,
    Cancelled,
    Failed,
    Finished,
    Outcome,
    Refused,
    Rejected,
    StreamItem,
    TimedOut,
)
from deployments.ray_serve.replica_watch import Deployment, ReplicaCall, ReplicaWatch, Unwatched, cancel
from deployments.request import InferenceRequest
from deployments.request.tokens import TokensRequest

_OUTCOMES = (Answered, Blank, Failed, TimedOut, Refused, Rejected, Cancelled)
_ITEMS = (str, Extras, Finished, Blank, Failed, TimedOut, Refused, Rejected)


class ServeReplicas:
    """Reaches the replicas of one deployment."""

    def __init__(
        self,
        handle: DeploymentHandle,
        name: str,
        watch: ReplicaWatch | None = None,
        deployment: Deployment | None = None,
        lost: dict[str, float] | None = None,
    ) -> None:
        """Reach the replicas through `handle`.

        Args:
            handle: calls replicas.
            name: what log lines call the model.
            watch: watches the calls; nobody does without it.
            deployment: the replicas one by one, as `watch` pings them.
            lost: of whoever reaches the same replicas: which of them were found dead.
        """
        self._watch, self._deployment = watch or ReplicaWatch(), deployment or Unwatched()
        # By the id of its actor: until when, on the loop's clock, a replica is taken for dead because a call has not
        # found it. Serve's controller notices a death seconds later, and until then lets calls wait for the replica.
        self._lost: dict[str, float] = {} if lost is None else lost
        self._name = name
        self._handle = handle
        # Each access to `handle.method` builds a new handle, so they are kept. Requests and outcomes are importable
        # classes, which plain pickling is enough for; cloudpickle, Serve's default, looks for classes that are not.
        plain = handle.options(request_serialization="pickle", response_serialization="pickle")
        self._infer = plain.infer
        self._tokenize = plain.tokenize
        self._describe = plain.describe
        self._stream = plain.options(stream=True).stream

    def member(self, name: str) -> "ServeReplicas":
        """Reach the model `name` in the pool that this one reaches."""
        handle = self._handle.options(multiplexed_model_id=name)
        return ServeReplicas(handle, name, self._watch, self._deployment, self._lost)

    def lost(self, actors: Collection[str]) -> int:
        """Return how many of `actors` (ids in hexadecimal digits) were found dead by earlier calls."""
        if not self._lost:
            return 0
        now = asyncio.get_running_loop().time()
        return sum(self._lost.get(actor, now) > now for actor in actors)

    def unresponsive(self, actors: Collection[str]) -> int:
        """Return how many of `actors` answer no ping, leaving out those that are lost."""
        mute = self._watch.unresponsive
        return sum(actor in mute and not self.lost((actor,)) for actor in actors) if mute else 0

    def start(
        self, request: InferenceRequest, budget_s: float, *, alone: Callable[[], bool] = lambda: False
    ) -> Coroutine[Any, Any, Outcome | Begun]:
        """Have one replica answer `request`; see the module's table for what can come back, and `ModelClient`.

        Args:
            request: what is asked.
            budget_s: seconds it may take.
            alone: whether there is no other replica: then the death of this one is not transient, as a replica takes
                seconds to be replaced.
        """
        if request.stream:
            return begin(self._items(request, budget_s, alone))
        return self._outcome(partial(self._infer.remote, request, budget_s), alone)

    def tokenize(self, asked: TokensRequest) -> Coroutine[Any, Any, Outcome]:
        """Have one replica answer a question to its tokenizer; the rest as in `start`."""
        return self._outcome(partial(self._tokenize.remote, asked), lambda: False)

    async def _outcome(self, send: Callable[[], Any], alone: Callable[[], bool]) -> Outcome:
        """Return the outcome that a replica gives to the call that `send` sends, or what has become of the call."""
        call = self._watch.open(self._deployment)
        try:
            call.response = send()
            given = await call.response
            outcome: Outcome = given if isinstance(given, _OUTCOMES) else _no_outcome(given)
            call.told(outcome)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever is raised is one failed attempt
            return self._ended_by(error, call, alone)
        finally:
            self._watch.close(call)
        return outcome

    async def _items(
        self, request: InferenceRequest, budget_s: float, alone: Callable[[], bool]
    ) -> AsyncGenerator[StreamItem, None]:
        """Give the items that a replica streams; a stream that just stops has been cut."""
        call = self._watch.open(self._deployment)
        try:
            call.response = self._stream.remote(request, budget_s)
            async for given in call.response:
                item: StreamItem = given if isinstance(given, _ITEMS) else _no_outcome(given)
                if call.outcome is None:
                    call.told(_first(item))
                yield item
                if not isinstance(item, (str, Extras)):
                    return
            yield Failed("its stream was cut", transient=not alone())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever is raised is one failed attempt
            yield self._ended_by(error, call, alone)
        finally:
            self._watch.close(call)
            if call.response is not None:
                cancel(call.response)  # where the stream has ended, that does nothing

    async def describe(self) -> dict[str, Any]:
        """Return the description that one replica gives of itself. Raises whatever Serve raises."""
        described: dict[str, Any] = await self._describe.remote()
        return described

    async def describe_all(self) -> list[dict[str, Any]]:
        """Return the descriptions of all replicas; that of one where they do not all answer at once.

        Raises whatever Serve raises.
        """
        asking = self._handle.broadcast("describe")
        try:
            answers = await asking.results_async(timeout_s=_TELL_ALL_S, return_exceptions=True)
        except TimeoutError:
            answers = []
        return [told for told in answers if isinstance(told, dict)] or [await self.describe()]

    async def loading(self, actors: Collection[str]) -> dict[str, Any]:
        """Return what the first of `actors` says about its load; they do not take requests yet, so handles skip them.

        Raises whatever Ray raises where it cannot be asked. Private to Serve: see tests/ray_serve/contract.py.
        """
        name = next(iter(actors))
        actor = await asyncio.to_thread(ray.get_actor, name, namespace=_SERVES_NAMESPACE)  # it asks the cluster
        told: dict[str, Any] = await actor.record_routing_stats.remote()
        return told

    async def expect(self, router: str, requests: float) -> None:
        """Tell every replica of the backup how many requests the router `router` expects of it: see `autoscaling`.

        Where they cannot be told, they are scaled by their queues alone.
        """
        try:
            await self._handle.broadcast("expect", router, requests).results_async(timeout_s=_TELL_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - replicas come and go, and the next report follows at once
            log.expectation_unheard(self._name, f"{type(error).__name__}: {error}")

    def _ended_by(self, error: BaseException, call: ReplicaCall, alone: Callable[[], bool]) -> Refused | Failed:
        """Return what has become of a call that `error` has ended, by the module's table.

        Raises:
            asyncio.CancelledError: its own caller has cancelled the call; so has the replica's work been, before.
        """
        if isinstance(error, asyncio.CancelledError) and is_own_cancellation():
            cancel(call.response)
            raise error
        if call.unanswered:  # it may answer again at any moment, and is asked again where nobody else answers
            return Failed(UNANSWERED, transient=not alone(), soon=True)
        match error:
            case asyncio.CancelledError():
                return Failed(_CANCELLED_BELOW, transient=not alone())
            case BackPressureError():
                return Refused("its queue is full", full=True)
            case DeploymentUnavailableError():
                return Refused("it keeps failing to start")
            case RayActorError() | grpc.RpcError():
                self._lose(error)
                return Failed(f"its replica died ({type(error).__name__})", transient=not alone(), soon=alone())
            case _:
                log.internal_error("call", self._name, error)
                return Failed(f"{type(error).__name__}: {error}")

    def _lose(self, error: Exception) -> None:
        actor = getattr(error, "actor_id", None)
        if actor:  # Ray calls an actor unavailable before it knows whether the actor is dead
            seconds = math.inf if isinstance(error, ActorDiedError) else _UNAVAILABLE_S
            self._lost[actor] = asyncio.get_running_loop().time() + seconds
        if len(self._lost) > _MAX_LOST:  # actors are replaced for as long as the router lives: the oldest goes
            del self._lost[next(iter(self._lost))]


def _no_outcome(given: object) -> Failed:
    return Failed(f"its replica gave a {type(given).__name__}")


def _first(item: StreamItem) -> Outcome | None:
    """Return what the first items of a stream say about its replica; `None` for a sign of life."""
    if isinstance(item, (Extras, Finished)) or item == "":
        return _WORKS if isinstance(item, Finished) else None
    return _WORKS if isinstance(item, str) else item


_WORKS = Answered("it works")

_TELL_TIMEOUT_S = 2.0
_TELL_ALL_S = 0.5
_SERVES_NAMESPACE = "serve"

_MAX_LOST = 256
"""Dead actors that are remembered: many more than a model has replicas."""

_UNAVAILABLE_S = 5.0
"""Seconds for which a replica that could not be reached is taken for dead. By then Serve's controller has found out by
a health check how it is, and the router has asked the controller."""

UNANSWERED = "its replica answers no ping"
_CANCELLED_BELOW = "the replica cancelled the call"
