"""What a stream is held to, and who carries on with one that has broken."""

from msgspec import Struct

from deployments.policy.attempt import Candidate
from deployments.policy.outcome import Failed, Outcome, StreamEnd

MAX_RESUMES = 2
"""Times one model carries on with what it left unfinished itself, in one stream: a transport that keeps breaking under
the same model is that model's trouble."""


class StreamRules(Struct, frozen=True):
    """The bounds of a stream.

    Attributes:
        stall_s: seconds of silence that count as its failure.
        continue_s: seconds in which a broken stream has to be continued.
        max_s: seconds it may take as a whole.
        max_characters: characters it may have.

    Raises:
        ValueError: one of them is not above 0.
    """

    stall_s: float = 10.0
    continue_s: float = 10.0
    max_s: float = 300.0
    max_characters: int = 1 << 20

    def __post_init__(self) -> None:
        if min(self.stall_s, self.continue_s, self.max_s, self.max_characters) <= 0:
            raise ValueError("the bounds of a stream are above 0")


def successors(
    candidates: tuple[Candidate, ...], broken: Candidate, end: StreamEnd | Outcome, resumes: int
) -> tuple[Candidate, ...]:
    """Who may carry on with a text that `broken`, one of `candidates`, left unfinished, best first.

    The same model first where only the transport broke, unless it has had its `MAX_RESUMES`; then those behind it.
    Those before it have failed with this request already.
    """
    behind = candidates[candidates.index(broken) + 1 :]
    again = isinstance(end, Failed) and end.transient and resumes < MAX_RESUMES
    return (broken, *behind) if again else behind
