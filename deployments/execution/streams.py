"""Streamed answers: a race for the first content, then a relay that outlives the models it relays.

open_stream ──► StreamOpener: `Race` for the first content ──► Relay: texts, and the next model where one breaks
                   └── nobody: the last-resort message, as a stream
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from deployments.execution.attempt import Conform, ModelClient
from deployments.execution.opening import StreamOpener
from deployments.execution.race import WaitReady
from deployments.execution.relay import Relay
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamPolicy
from deployments.policy.last_resort import LastResort
from deployments.policy.next_step import Exhausted
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import AnswerStream, StreamDone, StreamHead, TextDelta
from deployments.request import InferenceRequest


async def open_stream(
    chain: FallbackChain,
    request: InferenceRequest,
    client_of: Callable[[Candidate], ModelClient],
    resilience: ResilienceState,
    rules: StreamPolicy,
    last_resort: LastResort,
    wait_ready: WaitReady,
    conform: Conform | None = None,
) -> AnswerStream:
    """Begin to answer `request` by `chain.deadline.answer_by`; gives the stream once its first content is there.

    Args:
        chain: who is asked, its deadline on the running event loop's clock.
        request: what they are asked.
        client_of: how each candidate is reached.
        resilience: asked before every attempt, and told how it ended.
        rules: the bounds of the stream.
        last_resort: what is said when nobody begins, or nobody carries on.
        wait_ready: waits for a candidate that cannot take the request yet.
        conform: holds answers to the form that their caller demanded: then nothing is passed on before the whole is
            there and fits. `None` where any form will do.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """
    started = asyncio.get_running_loop().time()
    opener = StreamOpener(request, client_of, resilience, rules, wait_ready, conform)
    opened = await opener.open(chain)
    if isinstance(opened, Exhausted):
        return CompletedStream(last_resort.answer(opened.trace))
    return Relay(opener, chain, opened, last_resort, ends=started + rules.max_seconds)


class CompletedStream:
    """An answer that is there as a whole, as a stream of one text."""

    def __init__(self, answer: Answer) -> None:
        """Give `answer`, whose result is a text."""
        self._answer = answer
        self._head = StreamHead(
            answer.model, answer.served_by, answer.degraded, answer.attempts, answer.refusal, answer.retry_after_s
        )

    @property
    def head(self) -> StreamHead:
        """What is known at the first content: here all of it."""
        return self._head

    async def __aiter__(self) -> AsyncGenerator[TextDelta | StreamDone, None]:
        """The text, then `StreamDone`."""
        yield TextDelta(str(self._answer.result), self._answer.model, self._answer.served_by)
        yield StreamDone(self._answer)

    async def aclose(self) -> None:
        """There is nothing to stop."""
