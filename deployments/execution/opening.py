"""Opening a stream: a race for the first content."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from deployments.execution.attempt import Begun, Conform, ModelClient
from deployments.execution.race import Race, WaitReady
from deployments.policy.attempt import Began, Candidate, Ended
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamPolicy
from deployments.policy.next_step import Exhausted
from deployments.policy.outcome import Answered, Blank, Finished, Outcome
from deployments.policy.resilience import Permit, ResilienceState
from deployments.request import InferenceRequest


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
        request: the request.
        client_of: returns the client of a candidate.
        resilience: gives permits for attempts, and takes their outcomes.
        rules: the bounds of the stream.
        wait_ready: waits for a candidate that cannot take the request yet.
        conform: checks answers against the form that the caller demanded: nothing is passed on before the whole answer
            is there and fits. `None` where any text will do.
    """

    request: InferenceRequest
    client_of: Callable[[Candidate], ModelClient]
    resilience: ResilienceState
    rules: StreamPolicy
    wait_ready: WaitReady
    conform: Conform | None = None

    async def open(self, chain: FallbackChain, written: str = "") -> Opened | Exhausted:
        """Run `chain` until a candidate gives first content; it has to continue `written`, the text so far.

        Raises:
            InvalidRequestError: the model asked for rejects the request.
        """
        request = replace(self.request, prefix=self.request.prefix + written) if written else self.request

        async def launch(candidate: Candidate, _: float) -> Outcome | Begun:
            started = await self.client_of(candidate).start(request, self.rules.max_seconds)
            if self.conform is not None:
                if isinstance(started, Begun):
                    started = await started.read_to_end(self.rules.max_characters)
                return await self.conform(started) if isinstance(started, Answered) else started
            if written and isinstance(started, Blank) and started.complete:
                return Begun("", end=Finished())  # nothing to add is a proper end of the text
            return started

        won = await Race(chain, self.resilience, launch, streamed=True, wait_ready=self.wait_ready).run()
        if isinstance(won, Exhausted):
            return won
        if won.begun is not None:
            return Opened(won.place, won.trace, won.begun, won.permit)
        winner = won.trace[won.place]
        assert isinstance(winner, Ended)  # noqa: S101 - it has no stream that goes on
        assert isinstance(winner.outcome, Answered)  # noqa: S101 - `next_step` accepts nothing else
        return Opened(won.place, won.trace, Begun.completed(winner.outcome), None)
