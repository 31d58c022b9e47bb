"""A whole answer: a race in which each attempt is read to its end."""

from typing import cast

from deployments.execution.attempt import Begun
from deployments.execution.execution import Execution
from deployments.execution.race import Race
from deployments.policy.answer import Answer, winning_answer
from deployments.policy.attempt import Candidate, Ended
from deployments.policy.outcome import Answered, Outcome
from deployments.policy.step import Exhausted


async def run_chain(execution: Execution) -> Answer:
    """Return the answer to a request, by `chain.deadline.answer_by`.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """
    conform = execution.conform

    async def launch(candidate: Candidate, budget_s: float) -> Outcome:
        # Looked up within the attempt, so that an error of the lookup is a failed attempt.
        started = await execution.client_of(candidate).start(execution.request, budget_s)
        outcome = await started.read_to_end() if isinstance(started, Begun) else started
        return await conform(outcome) if conform is not None and isinstance(outcome, Answered) else outcome

    chain = execution.chain
    won = await Race(chain, execution.resilience, launch, execution.wait_ready, execution.terms).run()
    if isinstance(won, Exhausted):
        return execution.last_tier().answer(won.trace, won.retry_after_s)
    trace = cast("tuple[Ended, ...]", won.trace)  # no launch here gives a stream
    winner = trace[won.place]
    assert isinstance(winner.outcome, Answered)  # noqa: S101 - `next_step` accepts nothing else
    dropped = (*execution.dropped_by(winner.candidate), *winner.outcome.dropped)
    return winning_answer(chain.candidates[0], winner.candidate, winner.outcome, trace, dropped)
