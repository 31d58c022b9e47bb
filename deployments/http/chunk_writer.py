"""Writes streams as the chunks of one completion, each stream as the choice at its place, and `[DONE]` behind them."""

from collections.abc import AsyncIterator, Iterator

from deployments.http.alive import COMMENT
from deployments.http.chunks import Chunks
from deployments.http.completions import Format
from deployments.http.problems import openai_body
from deployments.http.responses import event
from deployments.http.together import StreamsTogether
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.problem import Problem
from deployments.policy.stream_events import AnswerStream, ExtrasDelta, StreamDone, StreamEvent, StreamHead, TextDelta
from deployments.request.openai import OpenAIRequest

_DONE = b"data: [DONE]\n\n"


class ChunkWriter:
    """Writes the stream of one request, or the streams of several prompts, in OpenAI's format."""

    sign_of_life = COMMENT

    def __init__(self, form: Format, asked: OpenAIRequest, request_id: str) -> None:
        """Write in the format `form`; `asked` has no requests where they were not read."""
        self._asked = asked
        self._chunks = [
            Chunks(
                form,
                asked.requests[place : place + 1],
                request_id,
                with_usage=asked.include_usage,
                in_each=asked.usage_in_each,
                echo=asked.echo,
                index=place,
            )
            for place in range(max(1, len(asked.requests)))
        ]
        self._answers: dict[int, Answer] = {}

    async def events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        """Give the events of a stream; of `StreamsTogether`, those of all its streams, as they come."""
        heads = stream.heads if isinstance(stream, StreamsTogether) else (stream.head,)
        for place, head in enumerate(heads):
            chunks = self._chunks[place]
            for first in chunks.first(head.model, echo=head.served_by is not Tier.LAST_RESORT):
                yield event(first)
        if isinstance(stream, StreamsTogether):
            async for place, item in stream.each():
                for written in self._written(place, item, heads[place]):
                    yield written
        else:
            async for item in stream:
                for written in self._written(0, item, heads[0]):
                    yield written
        answers = [self._answers[place] for place in sorted(self._answers)]
        for last in self._chunks[0].usage(answers, self._asked.requests):
            yield event(last)
        yield _DONE

    def refused(self, problem: Problem) -> Iterator[bytes]:
        """Give the error as OpenAI's clients expect it in a stream: they raise it."""
        yield event(openai_body(problem))
        yield _DONE

    def _written(self, place: int, item: StreamEvent, head: StreamHead) -> Iterator[bytes]:
        chunks = self._chunks[place]
        match item:
            case TextDelta(text, model, _):
                yield chunks.text(text, model, refusal=head.refusal)
            case ExtrasDelta(extras, model, _):
                for chunk in chunks.beside(extras, model):
                    yield event(chunk)
            case StreamDone(answer):
                self._answers[place] = answer
                for chunk in chunks.end(answer):
                    yield event(chunk)
