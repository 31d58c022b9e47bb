"""Writes streams as the chunks of one completion, each stream as the choice at its place, and `[DONE]` behind them."""

from collections.abc import AsyncIterator, Iterator

from deployments.http.alive import COMMENT, PARAGRAPH
from deployments.http.chunks import Chunks
from deployments.http.completions import Format
from deployments.http.problems import openai_body
from deployments.http.responses import event
from deployments.http.together import StreamsTogether
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.problem import Problem
from deployments.policy.stream_events import AnswerStream, ExtrasDelta, StreamEvent, StreamHead, TextDelta
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
        self._cut: set[int] = set()

    async def events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        """Give the events of a stream; of `StreamsTogether`, those of all its streams, as they come.

        The last resort for an error of our own is a stream behind another one: it ends every choice that has no end.
        """
        heads = stream.heads if isinstance(stream, StreamsTogether) else [stream.head] * len(self._chunks)
        left = [place for place in range(len(self._chunks)) if place not in self._answers]
        self._cut = {place for place in left if self._chunks[place].has_text}
        for place in left:
            for first in self._first(place, heads[place]):
                yield first
        if isinstance(stream, StreamsTogether):
            async for place, item in stream.each():
                if written := self._written(place, item, heads[place]):
                    yield written
        else:
            async for item in stream:
                for place in left:
                    if written := self._written(place, item, heads[place]):
                        yield written
        answers = [self._answers[place] for place in sorted(self._answers)]
        for last in self._chunks[0].usage(answers, self._asked.requests):
            yield event(last)
        yield _DONE

    def refused(self, problem: Problem) -> Iterator[bytes]:
        """Give the error as OpenAI's clients expect it in a stream: they raise it."""
        yield event(openai_body(problem))
        yield _DONE

    def _first(self, place: int, head: StreamHead) -> Iterator[bytes]:
        if not self._chunks[place].begun:
            for first in self._chunks[place].first(head.model, echo=head.served_by is not Tier.LAST_RESORT):
                yield event(first)

    def _written(self, place: int, item: StreamEvent, head: StreamHead) -> bytes:
        """Return the events of an item; empty where there are none."""
        chunks, is_cut = self._chunks[place], place in self._cut
        if isinstance(item, TextDelta):
            return chunks.text(f"{PARAGRAPH}{item.text}" if is_cut else item.text, item.model, refusal=head.refusal)
        if isinstance(item, ExtrasDelta):
            return b"".join(map(event, chunks.beside(item.extras, item.model)))
        end = b"".join(map(event, chunks.end(item.answer, cut=is_cut)))
        self._answers[place] = item.answer
        return end
