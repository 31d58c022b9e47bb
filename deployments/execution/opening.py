"""Opening a stream: a race for the first content."""

from typing import TypeGuard

from msgspec.structs import replace

from deployments.execution.attempt import Begun
from deployments.execution.execution import Execution
from deployments.execution.race import Opened, Race
from deployments.policy.attempt import Candidate, Ended
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamPolicy
from deployments.policy.outcome import CONTENT_FILTER, WITHHELD, Answered, Blank, Finished, Outcome
from deployments.policy.step import Accept, Exhausted
from deployments.request import InferenceRequest

SEVERAL = "n"
"""The field that asks for several choices. Only the first of them is continued by another model."""


async def open_chain(
    execution: Execution, rules: StreamPolicy, chain: FallbackChain, written: str = ""
) -> Opened | Exhausted:
    """Run `chain` until a candidate gives first content; it has to continue `written`, the text so far.

    Args:
        execution: the request, and what its attempts are made with.
        rules: the bounds of the stream.
        chain: the chain of the request, or what is left of it.
        written: the text so far.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """
    request = _continuing(execution.request, written) if written else execution.request

    async def launch(candidate: Candidate, left_s: float) -> Outcome | Begun:
        # The stream may take longer than the deadline, which is that of its first content.
        due = replace(request, timeout_s=left_s)
        if execution.conform is not None:
            return await execution.attempt_whole(due, candidate, rules.max_seconds, rules.max_characters)
        started = await execution.client_of(candidate).start(due, rules.max_seconds)
        if written and isinstance(started, Blank) and started.complete:
            return Begun("", end=Finished())  # nothing to add is a proper end of the text
        if written and _is_withheld(started) and not chain.is_rescued(candidate, started):
            return Begun("", end=Finished(CONTENT_FILTER))  # the sentence in its place is no part of the text
        return started

    ended = await Race(execution, chain, launch).run()
    if not isinstance(ended, Accept):
        return ended
    winner = ended.trace[ended.place]
    assert isinstance(winner, Ended)  # noqa: S101 - it has no stream that goes on
    assert isinstance(winner.outcome, Answered)  # noqa: S101 - `next_step` accepts nothing else
    return Opened(ended.place, ended.trace, Begun.completed(winner.outcome), None)


def _continuing(asked: InferenceRequest, written: str) -> InferenceRequest:
    """Return the request for what comes behind `written`: one choice, as the others have not got this far."""
    passed = {key: value for key, value in asked.passthrough.items() if key != SEVERAL}
    return replace(asked, prefix=asked.prefix + written, passthrough=passed)


def _is_withheld(started: Outcome | Begun) -> TypeGuard[Answered]:
    """Return whether an attempt has nothing but the sentence that stands for a withheld answer."""
    return isinstance(started, Answered) and (started.finish_reason, started.result) == (CONTENT_FILTER, WITHHELD)
