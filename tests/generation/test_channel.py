"""The channel from a thread to the event loop keeps the order, is bounded, and leaves no writer waiting for ever."""

import asyncio
import threading
from contextlib import aclosing

from deployments.generation.channel import _CAPACITY, Channel
from deployments.generation.progress import Progress
from tests.clock import FakeClock, until

WAIT_S = 10.0


class Writer:
    """Writes `count` numbers from a thread."""

    def __init__(self, count: int) -> None:
        self.given_up = threading.Event()
        self.written = 0
        self.full = threading.Event()
        self.clock = FakeClock()
        self.progress = Progress(self.clock)
        self.channel = Channel(self.given_up, self.progress)
        self._count = count
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    def _write(self) -> None:
        with self.progress.work():
            for number in range(self._count):
                if number == _CAPACITY:
                    self.full.set()
                self.channel.put(f"{number} ")
                self.written = number + 1


async def test_what_is_written_is_read_in_order_and_to_its_end() -> None:
    writer = Writer(5)
    await asyncio.to_thread(writer.thread.join, WAIT_S)
    writer.channel.close()

    assert "".join([text async for text in writer.channel]) == "0 1 2 3 4 "


async def test_a_writer_waits_while_nobody_reads_and_goes_on_when_somebody_does() -> None:
    writer = Writer(_CAPACITY + 10)
    await asyncio.to_thread(writer.full.wait, WAIT_S)
    assert (writer.written, writer.thread.is_alive()) == (_CAPACITY, True)

    async with aclosing(aiter(writer.channel)) as texts:  # type: ignore[type-var]  # it is an asynchronous generator
        await anext(texts)
        await asyncio.to_thread(writer.thread.join, WAIT_S)

    assert writer.written == _CAPACITY + 10


async def test_a_writer_that_waits_is_let_go_when_nobody_wants_it_any_more() -> None:
    writer = Writer(_CAPACITY + 10)
    await asyncio.to_thread(writer.full.wait, WAIT_S)

    writer.given_up.set()
    await asyncio.to_thread(writer.thread.join, WAIT_S)

    assert not writer.thread.is_alive()


async def test_a_writer_that_waits_for_its_reader_has_not_stalled() -> None:
    writer = Writer(_CAPACITY + 1)
    await asyncio.to_thread(writer.full.wait, WAIT_S)
    writer.clock.now = 100.0

    await until(lambda: writer.progress.stalled_s() == 0.0)

    writer.given_up.set()
    await asyncio.to_thread(writer.thread.join, WAIT_S)
    assert writer.progress.stalled_s() == 0.0
