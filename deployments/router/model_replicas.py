"""The replicas of one model as the router calls them; `ray_serve.handle.ServeReplicas` implements it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from deployments.execution.attempt import Begun
from deployments.policy.outcome import Outcome
from deployments.request import InferenceRequest
from deployments.request.tokens import TokensRequest


class ModelReplicas(Protocol):
    """The replicas of one model, as the router calls them; `ray_serve.handle.ServeReplicas` implements it."""

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Callable[[], bool]) -> Outcome | Begun:
        """Make one attempt on one replica; `alone` returns whether no other replica could take a retry."""
        ...

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        """Have one replica answer a question to its tokenizer."""
        ...

    def lost(self, actors: Collection[str]) -> int:
        """Return how many of the replicas with these actor ids were found dead by calls."""
        ...

    def unresponsive(self, actors: Collection[str]) -> int:
        """Return how many of the replicas with these actor ids answer no ping; one that is lost does not count."""
        ...

    def member(self, name: str) -> "ModelReplicas":
        """Return the way to the model `name` of a pool."""
        ...

    async def describe(self) -> dict[str, Any]:
        """Return the state of the model as one replica describes it."""
        ...

    async def describe_all(self) -> Sequence[Mapping[str, Any]]:
        """Return the state of the model as each of its replicas describes it; at least one."""
        ...

    async def loading(self, actors: Collection[str]) -> dict[str, Any]:
        """Return what one of the replicas with these actors, which take no requests yet, says about its load."""
        ...


class Backup(ModelReplicas, Protocol):
    """The replicas of the backup, which are told what is about to come."""

    async def expect(self, router: str, requests: float) -> None:
        """Tell all replicas how many requests the router named `router` is about to send."""
        ...
