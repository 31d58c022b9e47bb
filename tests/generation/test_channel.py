"""From a thread to the event loop: in order, with room for a few pieces, and no writer left waiting for ever."""

import asyncio
import threading
from contextlib import aclosing

from deployments.generation.channel import _ROOM, Pipe

WAIT_S = 10.0


class Writer:
    """Writes numbers from a thread, as many as it is told."""

    def __init__(self, count: int) -> None:
        self.given_up = threading.Event()
        self.written = 0
        self.full = threading.Event()
        self.pipe = Pipe(self.given_up)
        self._count = count
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    def _write(self) -> None:
        for number in range(self._count):
            if number == _ROOM:
                self.full.set()
            self.pipe.put(f"{number} ")
            self.written = number + 1


async def test_what_is_written_is_read_in_order_and_to_its_end() -> None:
    writer = Writer(5)
    await asyncio.to_thread(writer.thread.join, WAIT_S)
    writer.pipe.close()

    assert "".join([piece async for piece in writer.pipe]) == "0 1 2 3 4 "


async def test_a_writer_waits_while_nobody_reads_and_goes_on_when_somebody_does() -> None:
    writer = Writer(_ROOM + 10)
    await asyncio.to_thread(writer.full.wait, WAIT_S)
    assert (writer.written, writer.thread.is_alive()) == (_ROOM, True)

    async with aclosing(aiter(writer.pipe)) as pieces:  # type: ignore[type-var]  # it is an asynchronous generator
        await anext(pieces)
        await asyncio.to_thread(writer.thread.join, WAIT_S)

    assert writer.written == _ROOM + 10


async def test_a_writer_that_waits_is_let_go_when_nobody_wants_it_any_more() -> None:
    writer = Writer(_ROOM + 10)
    await asyncio.to_thread(writer.full.wait, WAIT_S)

    writer.given_up.set()
    await asyncio.to_thread(writer.thread.join, WAIT_S)

    assert not writer.thread.is_alive()
