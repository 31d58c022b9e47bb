"""Streamed answers: a race for the first content, then a relay that outlives the models it relays.

open_stream ──► opening: `driver.Race` over first contents ──► relay: texts, and the next model where one breaks
                   └── nobody: the last-resort message, as a stream
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from deployments.execution.race import Caller, Judge
from deployments.execution.relay import Relay
from deployments.execution.stream_opening import Opener, Unopened
from deployments.policy.answer import Answer, Candidate
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamRules
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import AnswerStream, StreamDone, StreamHead, TextDelta
from deployments.request import InferenceRequest

__all__ = ["CompletedStream", "open_stream"]


async def open_stream(
    chain: FallbackChain,
    request: InferenceRequest,
    caller_of: Callable[[Candidate], Caller],
    resilience: ResilienceState,
    rules: StreamRules,
    judge: Judge | None = None,
) -> AnswerStream:
    """Begin to answer `request` by `chain.deadline.answer_by`; gives the stream once its first content is there.

    Args:
        chain: who is asked.
        request: what they are asked.
        caller_of: how each candidate is reached.
        resilience: asked before every attempt, and told how it ended.
        rules: the bounds of the stream.
        judge: holds whole answers to the form their caller wants: with it, nothing is passed on before the whole is
            there and fits. `None` where any text will do.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """
    opener = Opener(request, caller_of, resilience, judge, rules.max_s, rules.stall_s)
    opened = await opener.open(chain)
    if isinstance(opened, Unopened):
        return CompletedStream(opened.answer)
    return Relay(opener, chain, opened, resilience, rules, asyncio.get_running_loop().time())


class CompletedStream:
    """An answer that is there as a whole, as a stream of one text."""

    def __init__(self, answer: Answer) -> None:
        """Tell `answer`, whose result is a text."""
        self._answer = answer
        self._head = StreamHead(
            answer.model, answer.served_by, answer.degraded, answer.attempts, retry_after_s=answer.retry_after_s
        )

    @property
    def head(self) -> StreamHead:
        """What is known: all of it."""
        return self._head

    async def __aiter__(self) -> AsyncGenerator[TextDelta | StreamDone, None]:
        """The text, then `StreamDone`."""
        yield TextDelta(str(self._answer.result), self._answer.model, self._answer.served_by)
        yield StreamDone(self._answer)

    async def aclose(self) -> None:
        """There is nothing to stop."""
