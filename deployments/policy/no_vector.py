"""The answer to a request for vectors where no model of the space has any: an error, and never something like one."""

from msgspec import Struct

from deployments.policy.answer import Answer
from deployments.policy.attempt import Ended, Tier
from deployments.policy.last_resort import LAST_RESORT, shortest_wait_s
from deployments.policy.outcome import Cancelled

VECTOR_UNAVAILABLE = "vector_unavailable"
"""The code of the error."""

_MOST_REASONS = 4


class NoVector(Struct, frozen=True):
    """Stands in the place of `LastResort` for a request that asks for vectors.

    Attributes:
        space: the vector space that is asked for; empty where it is not known.
    """

    space: str = ""

    def answer(self, trace: tuple[Ended, ...] = (), retry_after_s: float = 0.0) -> Answer:
        """Return the answer, which has an error and no result. This never raises. Arguments as in `LastResort`."""
        return Answer(
            result=_message(self.space, trace),
            model=LAST_RESORT,
            served_by=Tier.LAST_RESORT,
            degraded=True,
            attempts=trace,
            finish_reason=LAST_RESORT,
            refusal=True,
            retry_after_s=retry_after_s or shortest_wait_s(trace),
            unavailable=VECTOR_UNAVAILABLE,
        )

    def ending(self, written: str) -> str:
        """Return what ends a text: vectors are not streamed, so the error's message."""
        return f"\n\n{_message(self.space, ())}" if written else _message(self.space, ())


def no_vector_instead(last_resort: Answer) -> Answer:
    """Return what is given instead of `last_resort`, the answer to a request for vectors that was not read."""
    return NoVector().answer(last_resort.attempts, last_resort.retry_after_s)


def _message(space: str, trace: tuple[Ended, ...]) -> str:
    """Return why there is no vector: the space, and the last reasons of the models that were asked."""
    of = f" of the space {space}" if space else ""
    last = {ended.candidate.model: ended.outcome.reason for ended in trace if not isinstance(ended.outcome, Cancelled)}
    reasons = "; ".join(f"{model}: {reason}" for model, reason in list(last.items())[:_MOST_REASONS])
    return f"No model can give a vector{of} now, and no other vector would do{f' ({reasons})' if reasons else ''}."
