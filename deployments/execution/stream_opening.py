"""Opening a stream: a race for the first content."""

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from deployments.execution.attempt_stream import Source
from deployments.execution.race import Caller, Judge, Race
from deployments.policy.answer import Answer, Candidate, Ended
from deployments.policy.chain import FallbackChain
from deployments.policy.outcome import Outcome
from deployments.policy.resilience import Permit, ResilienceState
from deployments.request import InferenceRequest


class Opened(Struct, frozen=True):
    """A stream whose first content is there.

    Attributes:
        candidate: who writes it.
        source: what is read on.
        permit: to be handed back when it has ended.
        place: of its attempt in `trace`.
        trace: the attempts of the race.
    """

    candidate: Candidate
    source: Source
    permit: Permit
    place: int
    trace: tuple[Ended, ...]


class Unopened(Struct, frozen=True):
    """Nobody had anything to say. `answer` is the last resort's."""

    answer: Answer

    @property
    def trace(self) -> tuple[Ended, ...]:
        """The attempts of the race."""
        return self.answer.attempts


class Opener(Struct, frozen=True):
    """Opens streams for one request.

    Attributes:
        request: what is asked.
        caller_of: how each candidate is reached.
        resilience: asked before every attempt.
        judge: holds whole answers to the form their caller wants; `None` where any text will do.
        max_s: seconds a stream may take.
        stall_s: seconds it may be silent.
    """

    request: InferenceRequest
    caller_of: Callable[[Candidate], Caller]
    resilience: ResilienceState
    judge: Judge | None
    max_s: float
    stall_s: float

    async def open(self, chain: FallbackChain, said: str = "") -> Opened | Unopened:
        """Run `chain` to the first content that comes behind `said`, the text so far.

        Raises:
            InvalidRequestError: the model asked for rejects the request.
        """
        request = replace(self.request, prefix=self.request.prefix + said)
        sources: dict[int, Source] = {}

        async def launch(candidate: Candidate, _: float, place: int) -> Outcome:
            items = self.caller_of(candidate).stream(request, self.max_s)
            sources[place] = Source(items, candidate.model, self.stall_s)
            outcome: Outcome | None = None
            try:
                outcome = await sources[place].begin(self.judge, may_be_empty=bool(said))
            finally:
                if outcome is None or outcome.name != "answered":
                    await sources[place].aclose()
            return outcome

        race = Race(chain, self.resilience, launch, streamed=True)
        answer = await race.run()
        begun = {place: answer.attempts[place] for place in race.begun}
        winner = min(
            (place for place, ended in begun.items() if _is_of(ended, answer)),
            key=lambda place: begun[place].ended,
            default=-1,
        )
        for place, permit in race.begun.items():
            if place != winner:  # it began at the same moment, or what it began with is to be rescued
                self.resilience.record(permit, begun[place].outcome, asyncio.get_running_loop().time())
                await sources[place].aclose()
        if winner < 0:
            return Unopened(answer)
        return Opened(begun[winner].candidate, sources[winner], race.begun[winner], winner, answer.attempts)


def _is_of(ended: Ended, answer: Answer) -> bool:
    return (ended.candidate.tier, ended.candidate.model) == (answer.served_by, answer.model)
