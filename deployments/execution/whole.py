"""A whole answer: a race in which each attempt is read to its end."""

from functools import partial
from typing import cast

from deployments.execution.execution import Execution
from deployments.execution.race import Race
from deployments.policy.answer import Answer, winning_answer
from deployments.policy.attempt import Ended
from deployments.policy.outcome import Answered
from deployments.policy.step import Exhausted


async def run_chain(execution: Execution) -> Answer:
    """Return the answer to a request, by `chain.deadline.answer_by`.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """
    won = await Race(execution, execution.chain, partial(execution.attempt_whole, execution.request)).run()
    if isinstance(won, Exhausted):
        return execution.last_tier().answer(won.trace, won.retry_after_s)
    trace = cast("tuple[Ended, ...]", won.trace)  # no launch here gives a stream
    winner = trace[won.place]
    assert isinstance(winner.outcome, Answered)  # noqa: S101 - `next_step` accepts nothing else
    dropped = (*execution.dropped_by(winner.candidate), *winner.outcome.dropped)
    return winning_answer(execution.chain.candidates[0], winner.candidate, winner.outcome, trace, dropped)
