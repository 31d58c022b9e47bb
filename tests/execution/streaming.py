"""Opens streams over scripted streamers: what their tests share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.execution.attempt import Conform
from deployments.execution.streams import open_stream
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamPolicy
from deployments.policy.deadline import Deadline
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import ExtrasDelta, StreamDone, StreamHead, TextDelta
from tests.execution import driving
from tests.execution.driving import RESERVES, an_execution, clock
from tests.streamers import ScriptedStreamer

RULES = StreamPolicy(stall_seconds=5.0, continue_seconds=10.0, max_seconds=300.0, max_characters=1024)
FIRST_CONTENT_S = 8.0
LAST_RESORT = driving.LAST_RESORT.message


@dataclass(slots=True)
class Read:
    """A stream as its reader got it."""

    head: StreamHead
    texts: list[TextDelta]
    answers: list[Answer]
    opened: float
    beside: list[ExtrasDelta] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.texts)

    @property
    def answer(self) -> Answer:
        assert len(self.answers) == 1, "a stream has one end"
        return self.answers[0]

    @property
    def trace(self) -> list[tuple[str, str, str, int | None]]:
        """Model, outcome, why, and from which character, of each attempt."""
        return [(a.candidate.model, a.outcome.name, a.why.value, a.from_character) for a in self.answer.attempts]


async def read(
    clients: Mapping[Candidate, ScriptedStreamer],
    resilience: ResilienceState | None = None,
    rules: StreamPolicy = RULES,
    conform: Conform | None = None,
) -> Read:
    """Ask `clients` in this order, with 30 seconds from now, and read to the end."""
    chain = FallbackChain(
        tuple(clients),
        Deadline.after(clock(), 30.0, RESERVES),
        first_content_s=FIRST_CONTENT_S,
    )
    stream = await open_stream(an_execution(chain, clients, resilience, conform=conform), rules)
    got = Read(stream.head, [], [], clock())
    async for item in stream:
        if isinstance(item, StreamDone):
            got.answers.append(item.answer)
            continue
        assert not got.answers, "nothing comes behind the end"
        if isinstance(item, ExtrasDelta):
            got.beside.append(item)
        else:
            got.texts.append(item)
    await stream.aclose()
    return got
