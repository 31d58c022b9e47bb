"""Runs the driver over scripted clients: what its tests share."""

import asyncio
from collections.abc import Mapping, Sequence

from deployments.execution.attempt import Conform, ModelClient
from deployments.execution.execution import Execution, NotReady, WaitReady
from deployments.execution.whole import run_chain
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.breaker import BreakerPolicy
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline, Reserves
from deployments.policy.last_resort import LastResort
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.request import InferenceRequest
from tests.fakes import ScriptedClient, a_request

A, B = Candidate(Tier.PRIMARY, "a"), Candidate(Tier.PRIMARY, "b")
BACKUP = Candidate(Tier.BACKUP, "backup")
# The model has until 20 s, then the backup is started, and at 29 s the last resort speaks.
RESERVES = Reserves(backup_seconds=9.0, backup_share=0.5, last_resort_seconds=1.0, last_resort_share=0.2)
CUT_OVER, ANSWER_BY = 20.0, 29.0

LAST_RESORT = LastResort("Sorry, none of our models can answer.")
REQUEST = a_request("What is due, and when?", max_tokens=1)
"""A request for an answer of one word, as `answers()` gives it: no silence of its model is due to the length."""


def new_state(failures: int = 5, probes: int = 1) -> ResilienceState:
    """A resilience whose breakers stay open for 10 s exactly: the draw is the one that adds and takes nothing."""
    breaker = BreakerPolicy(failures=failures, open_seconds=10.0, probes=probes)
    return ResilienceState(ResiliencePolicy(breaker), lambda *_: None, BACKUP.model, lambda: 0.5)


async def nobody_soon(candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
    """Nobody who could not take the request becomes ready."""
    return NotReady.NEVER


def an_execution(
    chain: FallbackChain,
    clients: Mapping[Candidate, ModelClient],
    resilience: ResilienceState | None = None,
    wait_ready: WaitReady = nobody_soon,
    conform: Conform | None = None,
    request: InferenceRequest = REQUEST,
) -> Execution:
    """`request`, to be answered by `chain` over `clients`."""
    return Execution(
        chain, request, clients.__getitem__, resilience or new_state(), lambda: LAST_RESORT, wait_ready, conform
    )


async def run(
    clients: dict[Candidate, ScriptedClient],
    resilience: ResilienceState | None = None,
    request: InferenceRequest = REQUEST,
) -> Answer:
    """Ask `clients` in this order, with 30 seconds from now."""
    chain = FallbackChain(tuple(clients), Deadline.after(clock(), 30.0, RESERVES))
    return await run_chain(an_execution(chain, clients, resilience, request=request))


def clock() -> float:
    return asyncio.get_running_loop().time()


def trace(answer: Answer) -> list[tuple[str, str]]:
    """Model and outcome of each attempt."""
    return [(attempt.candidate.model, attempt.outcome.name) for attempt in answer.attempts]


async def let_losers_go() -> None:
    """Turns of the loop: what was cancelled hears of it, and is seen to its end."""
    for _ in range(3):
        await asyncio.sleep(0)
