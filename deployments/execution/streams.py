"""Streamed answers: a race for the first content, then a relay that outlives the models it relays.

open_stream ──► open_chain: `Race` for the first content ──► Relay: texts, and the next model where one breaks
                   └── exhausted: the last-resort message, as a stream
"""

import asyncio
from collections.abc import AsyncGenerator

from deployments.execution.execution import Execution
from deployments.execution.opening import open_chain
from deployments.execution.relay import Relay
from deployments.policy.answer import Answer
from deployments.policy.continuation import StreamPolicy
from deployments.policy.step import Exhausted
from deployments.policy.stream_events import AnswerStream, ExtrasDelta, StreamDone, StreamEvent, StreamHead, TextDelta


async def open_stream(execution: Execution, rules: StreamPolicy) -> AnswerStream:
    """Return a stream that answers a request, once its first content is there: by `chain.deadline.answer_by`.

    Where the caller demanded a form, nothing is passed on before the whole answer is there and fits.

    Args:
        execution: the request, and what its attempts are made with.
        rules: the bounds of the stream.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """
    started = asyncio.get_running_loop().time()
    opened = await open_chain(execution, rules, execution.chain)
    if isinstance(opened, Exhausted):
        return CompletedStream(execution.last_tier().answer(opened.trace, opened.retry_after_s))
    return Relay(execution, rules, opened, ends=started + rules.max_seconds)


class CompletedStream:
    """An `AnswerStream` of an answer that is there as a whole: one text, then its end.

    Attributes:
        answer: the answer.
        head: the head of the stream, made from the whole answer.
    """

    def __init__(self, answer: Answer) -> None:
        """Stream `answer`, whose result is a text."""
        self.answer = answer
        self.head = StreamHead.of(answer)

    async def __aiter__(self) -> AsyncGenerator[StreamEvent, None]:
        """Give what came beside the text, the text, then `StreamDone`."""
        if self.answer.extras:
            yield ExtrasDelta(self.answer.extras, self.answer.model, self.answer.served_by)
        yield TextDelta(str(self.answer.result), self.answer.model, self.answer.served_by)
        yield StreamDone(self.answer)

    async def aclose(self) -> None:
        """Do nothing: no attempt is under way."""
