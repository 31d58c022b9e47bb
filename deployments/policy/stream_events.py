"""A streamed answer on its way to the caller: its head, its texts, its end.

Nothing is sent before the first content is there, so what the head says is true. What happens afterwards is told
in the answer that comes last.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from deployments.policy.answer import Answer
from deployments.policy.attempt import Ended, Tier


class StreamHead(Struct, frozen=True):
    """What is known at the first content.

    Attributes:
        model: who begins the answer.
        served_by: its tier.
        degraded: somebody else than the one first asked begins it.
        attempts: the attempts that had ended by then, in the order of their starts.
        refusal: as in `Answer`.
        retry_after_s: as in `Answer`.
    """

    model: str
    served_by: Tier
    degraded: bool
    attempts: tuple[Ended, ...]
    refusal: bool = False
    retry_after_s: float = 0.0


class TextDelta(Struct, frozen=True):
    """A piece of the answer, never empty, and who wrote it."""

    text: str
    model: str
    served_by: Tier


class StreamDone(Struct, frozen=True):
    """The end of the answer, which it holds as a whole with its trace.

    `answer.result` is all the text that was given. `answer.finish_reason` is true of the whole: `stop` only where
    the answer is complete.
    """

    answer: Answer


class AnswerStream(Protocol):
    """A streamed answer: iterated once, it gives texts and one `StreamDone` behind them, and never raises.

    Closing it (`aclose`) cancels whoever is writing.
    """

    @property
    def head(self) -> StreamHead:
        """What is known at the first content."""
        ...

    def __aiter__(self) -> AsyncIterator[TextDelta | StreamDone]:
        """Texts, then one `StreamDone`."""
        ...

    async def aclose(self) -> None:
        """Stop."""
        ...
