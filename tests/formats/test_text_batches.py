"""Texts that are there together are one batch; nobody waits for more, and nobody pays for somebody else's text."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from deployments.formats.calling import InferenceThreads
from deployments.formats.embedding_input import Tokens
from deployments.formats.text_batches import TextBatches, Vector
from deployments.generation.progress import Progress

BAD = 13


class Encoder:
    """Gives each text its number of tokens as its vector, one pass at a time, as fast as the test lets it."""

    def __init__(self, *, free: bool = True) -> None:
        self.passes: list[list[int]] = []
        self.free = threading.Event()
        self.began = threading.Event()
        if free:
            self.free.set()

    def __call__(self, texts: Sequence[Tokens]) -> list[Vector]:
        self.passes.append([len(text) for text in texts])
        self.began.set()
        assert self.free.wait(10)
        if any(BAD in text for text in texts):
            raise ValueError("it chokes on this")
        return [[float(len(text))] for text in texts]


def batches(encode: Callable[[Sequence[Tokens]], list[Vector]], texts: int = 8, tokens: int = 1000) -> TextBatches:
    return TextBatches(encode, InferenceThreads(1, Progress()), texts, tokens)


def text(tokens: int) -> Tokens:
    return [1] * tokens


async def begin(made: TextBatches, *requests: Sequence[Tokens]) -> list["asyncio.Task[list[Vector]]"]:
    """Send requests one after the other; the first one is alone in its batch."""
    sent = []
    for request in requests:
        sent.append(asyncio.ensure_future(made.vectors(request)))
        await asyncio.sleep(0)
    return sent


async def test_a_text_that_comes_alone_is_computed_at_once() -> None:
    encode = Encoder()

    assert await batches(encode).vectors([text(3)]) == [[3.0]]
    assert encode.passes == [[3]]


async def test_requests_that_come_while_the_model_works_are_one_batch() -> None:
    encode = Encoder(free=False)
    sent = await begin(batches(encode), *([text(n)] for n in (1, 2, 3, 4)))
    encode.free.set()

    assert await asyncio.gather(*sent) == [[[1.0]], [[2.0]], [[3.0]], [[4.0]]]
    assert encode.passes == [[1], [2, 3, 4]]


async def test_a_batch_is_bounded_by_its_texts_and_its_tokens_and_a_longer_text_is_one_of_its_own() -> None:
    encode = Encoder()

    made = await batches(encode, texts=2, tokens=10).vectors([text(n) for n in (4, 4, 4, 7, 30, 1)])

    assert made == [[4.0], [4.0], [4.0], [7.0], [30.0], [1.0]]
    assert encode.passes == [[4, 4], [4], [7], [30], [1]]


async def test_a_request_with_many_texts_does_not_keep_a_small_one_waiting() -> None:
    encode = Encoder(free=False)
    many, one = await begin(batches(encode, texts=2), [text(1)] * 10, [text(2)])
    encode.free.set()
    await one

    assert not many.done()
    assert len(await many) == 10


async def test_texts_of_very_different_lengths_are_not_filled_up_to_the_longest() -> None:
    encode = Encoder()

    made = await batches(encode, tokens=10_000).vectors([text(n) for n in (2000, 3, 1900, 4)])

    assert made == [[2000.0], [3.0], [1900.0], [4.0]]
    assert encode.passes == [[3, 4], [1900, 2000]]


async def test_a_text_that_the_model_fails_at_fails_its_own_request_alone() -> None:
    encode = Encoder(free=False)
    first, good, bad, other = await begin(batches(encode), [text(1)], [text(2)], [[BAD]], [text(3), text(4)])
    encode.free.set()

    assert list(await asyncio.gather(first, good, other)) == [[[1.0]], [[2.0]], [[3.0], [4.0]]]
    with pytest.raises(ValueError, match="chokes"):
        await bad


async def test_a_request_that_is_given_up_leaves_the_queue_and_costs_nobody_an_answer() -> None:
    encode = Encoder(free=False)
    first, gone, last = await begin(batches(encode, texts=1), [text(1)], [text(2)] * 5, [text(3)])
    gone.cancel()
    await asyncio.sleep(0)
    encode.free.set()

    assert list(await asyncio.gather(first, last)) == [[[1.0]], [[3.0]]]
    assert encode.passes == [[1], [3]]


async def test_a_request_that_is_given_up_while_the_model_fails_at_it_strands_nobody() -> None:
    encode = Encoder(free=False)
    made = batches(encode, texts=1)
    gone, other = await begin(made, [[BAD]], [text(2)])
    await asyncio.to_thread(encode.began.wait, 10)
    gone.cancel()
    await asyncio.sleep(0)
    encode.free.set()

    assert await asyncio.wait_for(other, 10) == [[2.0]]
