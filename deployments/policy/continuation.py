"""The bounds of a stream, and which models may continue a stream that has broken."""

from dataclasses import dataclass

from deployments.policy.attempt import Candidate
from deployments.policy.knob import Knobs, knob, seconds
from deployments.policy.outcome import Failed, Outcome, StreamEnd

MAX_RESUMES = 2
"""Times that one model may continue its own unfinished text in one stream. A transport that breaks more often under the
same model counts as a fault of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy(Knobs):
    """The bounds of a stream: its silences, its duration, its length."""

    first_content_seconds: float = seconds(
        10.0, "Until the first content, then the next tier is started; at most a third of the deadline."
    )
    stall_seconds: float = seconds(10.0, "A silence within a stream that counts as its failure.")
    continue_seconds: float = seconds(10.0, "Until a broken stream is continued; then the last-resort message ends it.")
    max_seconds: float = seconds(300.0, "The whole of a stream; then it ends with what there is.")
    max_characters: int = knob(1 << 20, "The longest text that is streamed.", ge=1024)


def successors(
    candidates: tuple[Candidate, ...], broken: Candidate, end: StreamEnd | Outcome, resumes: int
) -> tuple[Candidate, ...]:
    """Return the candidates that may continue a text that `broken`, one of `candidates`, left unfinished; best first.

    `broken` itself comes first where only the transport broke (`end` is transient) and it has resumed fewer than
    `MAX_RESUMES` times. The candidates behind it follow. Those before it have failed with this request already.
    """
    behind = candidates[candidates.index(broken) + 1 :]
    again = isinstance(end, Failed) and end.transient and resumes < MAX_RESUMES
    return (broken, *behind) if again else behind
