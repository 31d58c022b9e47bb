"""Streamed answers: a race for the first content, then a relay that outlives the models it relays.

open_stream ──► StreamOpener: `Race` for the first content ──► Relay: texts, and the next model where one breaks
                   └── exhausted: the last-resort message, as a stream
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
    """Return a stream that answers `request`, once its first content is there: by `chain.deadline.answer_by`.

    Args:
        chain: the candidates and their deadline, on the running event loop's clock.
        request: the request.
        client_of: returns the client of a candidate.
        resilience: gives permits for attempts, and takes their outcomes.
        rules: the bounds of the stream.
        last_resort: the answer where no candidate begins, and the end of a text that no candidate continues.
        wait_ready: waits for a candidate that cannot take the request yet.
        conform: checks answers against the form that the caller demanded: nothing is passed on before the whole answer
            is there and fits. `None` where any text will do.

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
    """An `AnswerStream` of an answer that is there as a whole: one text, then its end."""

    def __init__(self, answer: Answer) -> None:
        """Stream `answer`, whose result is a text."""
        self._answer = answer
        self._head = StreamHead(
            answer.model, answer.served_by, answer.degraded, answer.attempts, answer.refusal, answer.retry_after_s
        )

    @property
    def head(self) -> StreamHead:
        """The head of the stream, made from the whole answer."""
        return self._head

    async def __aiter__(self) -> AsyncGenerator[TextDelta | StreamDone, None]:
        """Give the text, then `StreamDone`."""
        yield TextDelta(str(self._answer.result), self._answer.model, self._answer.served_by)
        yield StreamDone(self._answer)

    async def aclose(self) -> None:
        """Do nothing: no attempt is under way."""
