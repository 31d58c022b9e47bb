"""A streamed answer on its way to the caller: its head, its texts, its end.

Nothing is sent before the first content is there, so the head names the model that really begins the answer. What
happens afterwards is in the answer inside `StreamDone`.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from deployments.policy.answer import Answer
from deployments.policy.attempt import Began, Ended, Tier
from deployments.policy.extras import Extras

PENDING = "pending"
"""Stands for who answers, as long as nobody has begun to."""


class StreamHead(Struct, frozen=True):
    """The facts about a streamed answer that are known at its first content.

    Attributes:
        model: the model that begins the answer.
        served_by: the tier of that model.
        degraded: another model than the first candidate begins the answer, or something is dropped.
        attempts: the attempts that had been made by then, in the order of their starts; the one that gives the stream
            is among them.
        refusal: as in `Answer`.
        retry_after_s: as in `Answer`.
        dropped: as in `Answer`, of the model that begins the answer.
    """

    model: str
    served_by: Tier
    degraded: bool
    attempts: tuple[Ended | Began, ...]
    refusal: bool = False
    retry_after_s: float = 0.0
    dropped: tuple[str, ...] = ()

    @classmethod
    def of(cls, answer: Answer) -> "StreamHead":
        """Return the head of a stream whose whole answer is there already."""
        return cls(
            answer.model,
            answer.served_by,
            answer.degraded,
            answer.attempts,
            answer.refusal,
            answer.retry_after_s,
            answer.dropped,
        )


class TextDelta(Struct, frozen=True):
    """A piece of the answer, never empty, and the model that wrote it."""

    text: str
    model: str
    served_by: Tier


class ExtrasDelta(Struct, frozen=True):
    """What came beside the text at this place of the stream, never empty, and the model that gave it."""

    extras: Extras
    model: str
    served_by: Tier


class StreamDone(Struct, frozen=True):
    """The end of the stream, with the whole answer and its trace.

    `answer.result` is the text that was given, and `answer.extras` is all that was given beside it.
    `answer.finish_reason` is `stop` only where that text is complete.
    """

    answer: Answer


StreamEvent = TextDelta | ExtrasDelta | StreamDone
"""What a streamed answer gives."""


class AnswerStream(Protocol):
    """A streamed answer. It can be iterated once, gives texts, extras, and one `StreamDone` behind them; never raises.

    Closing the stream (`aclose`) cancels the attempt that writes it.
    """

    @property
    def head(self) -> StreamHead:
        """The head, which is known from the start."""
        ...

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Give the texts, and what comes beside them, then one `StreamDone`."""
        ...

    async def aclose(self) -> None:
        """Cancel the attempt that writes; a second call does nothing."""
        ...
