"""A whole answer: a race in which each attempt is read to its end."""

import asyncio
from collections.abc import Callable

from deployments.execution.attempt import Begun, Conform, ModelClient
from deployments.execution.race import Race, WaitReady
from deployments.policy.answer import Answer, winning_answer
from deployments.policy.attempt import Candidate, Ended
from deployments.policy.chain import FallbackChain
from deployments.policy.last_resort import LastResort
from deployments.policy.next_step import Exhausted
from deployments.policy.outcome import Answered, Outcome
from deployments.policy.resilience import ResilienceState
from deployments.request import InferenceRequest


async def run_chain(
    chain: FallbackChain,
    request: InferenceRequest,
    client_of: Callable[[Candidate], ModelClient],
    resilience: ResilienceState,
    last_resort: LastResort,
    wait_ready: WaitReady,
    conform: Conform | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Answer:
    """Return the answer to `request`, by `chain.deadline.answer_by`.

    Args:
        chain: the candidates and their deadline, on the running event loop's clock.
        request: the request.
        client_of: returns the client of a candidate.
        resilience: gives permits for attempts, and takes their outcomes.
        last_resort: the answer where no candidate answers.
        wait_ready: waits for a candidate that cannot take the request yet.
        conform: checks answers against the form that the caller demanded; `None` where any text will do.
        loop: the running event loop, if it is at hand; see `LoopClock`.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """

    async def launch(candidate: Candidate, budget_s: float) -> Outcome:
        # Looked up within the attempt, so that an error of the lookup is a failed attempt.
        started = await client_of(candidate).start(request, budget_s)
        outcome = await started.read_to_end() if isinstance(started, Begun) else started
        return await conform(outcome) if conform is not None and isinstance(outcome, Answered) else outcome

    won = await Race(chain, resilience, launch, streamed=False, wait_ready=wait_ready, loop=loop).run()
    if isinstance(won, Exhausted):
        return last_resort.answer(won.trace)
    winner = won.trace[won.place]
    assert isinstance(winner, Ended)  # noqa: S101 - no launch here gives a stream
    assert isinstance(winner.outcome, Answered)  # noqa: S101 - `next_step` accepts nothing else
    trace = tuple(attempt for attempt in won.trace if isinstance(attempt, Ended))
    return winning_answer(chain.candidates[0], winner.candidate, winner.outcome, trace)
