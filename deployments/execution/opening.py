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
        place: of its attempt in `trace`.
        trace: the attempts that were made to open it.
        begun: the stream, to be closed.
        permit: to be handed back when the stream has ended; `None` where the whole answer was there at once.
    """

    place: int
    trace: tuple[Ended | Began, ...]
    begun: Begun
    permit: Permit | None

    @property
    def writer(self) -> Candidate:
        """Who writes it."""
        return self.trace[self.place].candidate


class StreamOpener(Struct, frozen=True):
    """Opens streams for one request.

    Attributes:
        request: what is asked.
        client_of: how each candidate is reached.
        resilience: asked before every attempt, and told how it ended.
        rules: the bounds of the stream.
        wait_ready: waits for a candidate that cannot take the request yet.
        conform: holds answers to the form that their caller demanded: then nothing is passed on before the whole is
            there and fits. `None` where any form will do.
    """

    request: InferenceRequest
    client_of: Callable[[Candidate], ModelClient]
    resilience: ResilienceState
    rules: StreamPolicy
    wait_ready: WaitReady
    conform: Conform | None = None

    async def open(self, chain: FallbackChain, written: str = "") -> Opened | Exhausted:
        """Run `chain` to the first content that comes behind `written`, the text so far.

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
