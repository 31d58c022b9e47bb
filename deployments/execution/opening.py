"""Opening a stream: a race for the first content."""

from typing import TypeGuard

from msgspec import Struct
from msgspec.structs import replace

from deployments.execution.attempt import Begun
from deployments.execution.execution import Execution
from deployments.execution.race import Race
from deployments.policy.attempt import Began, Candidate, Ended
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamPolicy
from deployments.policy.outcome import CONTENT_FILTER, WITHHELD, Answered, Blank, Finished, Outcome
from deployments.policy.permit import Permit
from deployments.policy.step import Exhausted
from deployments.request import InferenceRequest

SEVERAL = "n"
"""The field that asks for several choices. Only the first of them is continued by another model."""


class Opened(Struct, frozen=True):
    """A stream whose first content is there.

    Attributes:
        place: the index in `trace` of the attempt that gives the stream.
        trace: the attempts that were made to open the stream.
        begun: the stream; whoever takes it has to close it.
        permit: to be handed back when the stream has ended; `None` where the whole answer was there at once.
    """

    place: int
    trace: tuple[Ended | Began, ...]
    begun: Begun
    permit: Permit | None

    @property
    def writer(self) -> Candidate:
        """The candidate that writes the stream."""
        return self.trace[self.place].candidate


class StreamOpener(Struct, frozen=True):
    """Opens streams for one request.

    Attributes:
        execution: the request, and what its attempts are made with.
        rules: the bounds of the stream.
    """

    execution: Execution
    rules: StreamPolicy

    async def open(self, chain: FallbackChain, written: str = "") -> Opened | Exhausted:
        """Run `chain` until a candidate gives first content; it has to continue `written`, the text so far.

        Raises:
            InvalidRequestError: the model asked for rejects the request.
        """
        asked, conform = self.execution.request, self.execution.conform
        request = _continuing(asked, written) if written else asked

        async def launch(candidate: Candidate, left_s: float) -> Outcome | Begun:
            # The stream may take longer than the deadline, which is that of its first content.
            due = replace(request, timeout_s=left_s)
            started = await self.execution.client_of(candidate).start(due, self.rules.max_seconds)
            if conform is not None:
                if isinstance(started, Begun):
                    started = await started.read_to_end(self.rules.max_characters)
                return await conform(started) if isinstance(started, Answered) else started
            if written and isinstance(started, Blank) and started.complete:
                return Begun("", end=Finished())  # nothing to add is a proper end of the text
            if written and _is_withheld(started) and not chain.is_rescued(candidate, started):
                return Begun("", end=Finished(CONTENT_FILTER))  # the sentence in its place is no part of the text
            return started

        execution = self.execution
        won = await Race(chain, execution.resilience, launch, execution.wait_ready, execution.terms).run()
        if isinstance(won, Exhausted):
            return won
        if won.begun is not None:
            return Opened(won.place, won.trace, won.begun, won.permit)
        winner = won.trace[won.place]
        assert isinstance(winner, Ended)  # noqa: S101 - it has no stream that goes on
        assert isinstance(winner.outcome, Answered)  # noqa: S101 - `next_step` accepts nothing else
        return Opened(won.place, won.trace, Begun.completed(winner.outcome), None)


def _continuing(asked: InferenceRequest, written: str) -> InferenceRequest:
    """Return the request for what comes behind `written`: one choice, as the others have not got this far."""
    passed = {key: value for key, value in asked.passthrough.items() if key != SEVERAL}
    return replace(asked, prefix=asked.prefix + written, passthrough=passed)


def _is_withheld(started: Outcome | Begun) -> TypeGuard[Answered]:
    """Return whether an attempt has nothing but the sentence that stands for a withheld answer."""
    return isinstance(started, Answered) and (started.finish_reason, started.result) == (CONTENT_FILTER, WITHHELD)
