"""Puts together what the attempts of one request are made with."""

from collections.abc import Callable, Sequence
from functools import partial

from deployments.execution.execution import Execution, NotReady
from deployments.execution.structured_output import conform_to
from deployments.execution.vectors import conform_to_vectors
from deployments.policy.attempt import Candidate
from deployments.policy.chain import FallbackChain
from deployments.policy.last_resort import LastResort
from deployments.policy.no_vector import NoVector
from deployments.policy.resilience import ResilienceState
from deployments.request import InferenceRequest
from deployments.router.drills import with_faults
from deployments.router.registry import Registry
from deployments.router.routing import ChainBuilder
from deployments.router.waiting_room import WaitingRoom
from deployments.settings import PolicySettings


class Executions:
    """The executions of one router."""

    def __init__(self, registry: Registry, chains: ChainBuilder, room: WaitingRoom) -> None:
        """Reach models by `chains`; a request that waits for one does so in `room`, and hurries `registry`."""
        self._registry = registry
        self._chains = chains
        self._room = room

    def of(
        self,
        chain: FallbackChain,
        request: InferenceRequest,
        asked: str,
        policy: PolicySettings,
        resilience: ResilienceState,
    ) -> Execution:
        """Return what `request`, which is meant for the model `asked`, runs `chain` with."""
        return Execution(
            chain,
            request,
            with_faults(self._chains.clients_for(request, asked), request.faults),
            resilience,
            self.last_tier(request, asked, policy),
            self._wait_ready,
            conform_to_vectors(request) if request.vectors else conform_to(request.response_format),
            self._chains.dropped_by(request),
        )

    def last_tier(
        self, request: InferenceRequest, asked: str, policy: PolicySettings
    ) -> Callable[[], LastResort | NoVector]:
        """Return what gives the answer where no model does."""
        return partial(self._chains.spaces.last_tier, policy.last_resort.message, request, asked)

    async def _wait_ready(self, candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
        self._registry.hurry()
        return await self._room.wait(candidates, until)
