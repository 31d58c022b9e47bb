"""The bounds of a stream, and which models may continue a stream that has broken."""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct

from deployments.policy.attempt import Candidate
from deployments.policy.knob import MOST_SECONDS, Knobs, knob, seconds
from deployments.policy.outcome import Failed, Outcome, StreamEnd

MAX_RESUMES = 2
"""Times that one model may continue its own unfinished text in one stream. A transport that breaks more often under the
same model counts as a fault of the model."""


LEAST_KEEPALIVE_S = 0.1
"""The shortest silence that may be set for a comment: more of them would only be traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy(Knobs):
    """The bounds of a stream: its silences, its duration, its length."""

    first_content_seconds: float = seconds(
        10.0,
        "The longest silence before first content; after it the next candidate is started. At most a third of the "
        "deadline. Reasoning, and the writing of a tool call, are no silence.",
    )
    reasoning_seconds: float = seconds(
        60.0, "The longest time that a model may be at work before its first content; after it, it has timed out."
    )
    stall_seconds: float = seconds(10.0, "The longest silence within a stream; after it the stream has failed.")
    crawl_seconds: float = seconds(
        10.0,
        "A stream that writes a tenth of what its model usually does for so long is handed on as if it had stalled.",
    )
    continue_seconds: float = seconds(
        10.0,
        "The time for another model to continue a broken stream; after it the last-resort message ends the text.",
    )
    keepalive_seconds: float = knob(
        10.0,
        "The silence after which the caller of a stream is sent a comment, so that nobody between takes the connection "
        "for dead; 0 sends none.",
        ge=0,
        le=MOST_SECONDS,
    )
    max_seconds: float = seconds(
        300.0, "The longest duration of a stream; after it the stream ends with the text so far."
    )
    max_characters: int = knob(1 << 20, "The longest text of a stream; it is cut there.", ge=1024)

    def contradictions(self) -> Iterator[str]:
        """Hold comments to be rare, or none."""
        if 0 < self.keepalive_seconds < LEAST_KEEPALIVE_S:
            yield (f"keepalive_seconds: is {self.keepalive_seconds:g}; accepted: 0, or at least {LEAST_KEEPALIVE_S:g}")


class StreamLimits(Struct, frozen=True):
    """The limits of one model's streams, which go before the policy's; `None` where the policy's holds.

    Attributes:
        first_content_s: as `first_content_seconds`, but at most until the cut-over.
        reasoning_s: as `reasoning_seconds`.
        stall_s: as `stall_seconds`.
    """

    first_content_s: float | None = None
    reasoning_s: float | None = None
    stall_s: float | None = None


NO_LIMITS = StreamLimits()


def successors(
    candidates: tuple[Candidate, ...],
    broken: Candidate,
    end: StreamEnd | Outcome,
    resumes: int,
    unasked: tuple[Candidate, ...] = (),
) -> tuple[Candidate, ...]:
    """Return the candidates that may continue a text that `broken`, one of `candidates`, left unfinished; best first.

    They are the candidates behind `broken`. The `unasked` before it, which were put behind, come first; everybody else
    before it has failed with this request. `broken` itself is among them where only the transport broke (`end` is
    transient) and it has resumed fewer than `MAX_RESUMES` times.
    """
    place = candidates.index(broken)
    before = tuple(candidate for candidate in candidates[:place] if candidate in unasked)
    again = isinstance(end, Failed) and end.transient and resumes < MAX_RESUMES
    return (*before, *candidates[place if again else place + 1 :])
