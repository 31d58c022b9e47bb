"""The bounds of a stream, and who carries on with one that has broken."""

from dataclasses import dataclass

from deployments.policy.attempt import Candidate
from deployments.policy.knob import Knobs, knob, seconds
from deployments.policy.outcome import Failed, Outcome, StreamEnd

MAX_RESUMES = 2
"""How often one model may carry on with a text that it left unfinished itself, in one stream. A transport that keeps
breaking under the same model is a fault of that model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy(Knobs):
    """How long a stream may be silent, and how much of it there may be."""

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
    """The candidates that may carry on with a text that `broken`, one of `candidates`, left unfinished, best first.

    The same model first where only the transport broke, unless it has had its `MAX_RESUMES`; then those behind it.
    Those before it have failed with this request already.
    """
    behind = candidates[candidates.index(broken) + 1 :]
    again = isinstance(end, Failed) and end.transient and resumes < MAX_RESUMES
    return (broken, *behind) if again else behind
