"""The answer that is given when no model answers. It is made here and nowhere else."""

from msgspec import Struct

from deployments.policy.answer import Answer
from deployments.policy.attempt import Ended, Tier
from deployments.policy.blank import is_blank
from deployments.policy.outcome import Refused

LAST_RESORT = "last_resort"
"""The model name and the finish reason of a last-resort answer."""

FULL_S = 1.0
"""Seconds after which a model that is full may have room again."""


class LastResort(Struct, frozen=True):
    """The last resort of one request.

    Attributes:
        message: the text of the answer.
        refusal: the caller demanded a form (JSON, a tool call). The message says that there is no answer in that form,
            and none is invented.

    Raises:
        ValueError: the message is blank.
    """

    message: str
    refusal: bool = False

    def __post_init__(self) -> None:
        if is_blank(self.message):
            raise ValueError("the last-resort message is not blank")

    def answer(self, trace: tuple[Ended, ...] = (), retry_after_s: float = 0.0) -> Answer:
        """Return the last-resort answer. This never raises.

        Args:
            trace: the attempts that were made.
            retry_after_s: seconds after which to ask again. With 0, the answer carries the shortest time that a refusal
                in `trace` named, provided that every attempt was refused.
        """
        return Answer(
            result=self.message,
            model=LAST_RESORT,
            served_by=Tier.LAST_RESORT,
            degraded=True,
            attempts=trace,
            finish_reason=LAST_RESORT,
            refusal=self.refusal,
            retry_after_s=retry_after_s or shortest_wait_s(trace),
        )

    def ending(self, written: str) -> str:
        """Return the text that ends an answer of which `written` is there already."""
        return f"\n\n{self.message}" if written else self.message


def shortest_wait_s(trace: tuple[Ended, ...]) -> float:
    """Return the shortest time that a refusal in `trace` named, if every attempt was refused; else 0.

    A model that is full names none: `FULL_S`.
    """
    refused = [ended.outcome for ended in trace if isinstance(ended.outcome, Refused)]
    waits = [outcome.retry_after_s or FULL_S * outcome.full for outcome in refused]
    if len(waits) < len(trace):  # some model failed, and when it works again is unknown
        return 0.0
    return min((wait for wait in waits if wait > 0), default=0.0)
