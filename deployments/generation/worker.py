"""The process of an engine: `process.ProcessGenerator` starts it and is its only client.

Run as: python -m deployments.generation.worker FD. FD is one end of a socket pair. What comes over it, pickled:

    in     Recipe                             the first message: what to load
    out    dict, or an exception              facts of the generator, or why there is none; then
    in     (number, Ask) or (number, None)    a request, or that nobody wants it any more
    out    [(number, item), ...]              what was written: texts, and at the end a Generation or an exception

Its end closed is the order to leave: it comes, too, when the client's process has been killed.
"""

import asyncio
import os
import pickle
import signal
import sys
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from deployments.generation import Generation, Prompt, Sampling, TextGenerator


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to load.

    Attributes:
        target: `module:Class` of a `TextGenerator` with a `warm_up`.
        arguments: its keyword arguments.
        warm_up: what it generates before it is ready.
    """

    target: str
    arguments: dict[str, Any] = field(default_factory=dict)
    warm_up: tuple[Prompt, Sampling] = (Prompt("Hello"), Sampling(2, 0.0, 60.0))

    def make(self) -> TextGenerator:
        """Load it. Whatever the generator raises is raised."""
        module, _, name = self.target.partition(":")
        made = getattr(import_module(module), name)(**self.arguments)
        made.warm_up(*self.warm_up)
        return made  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; `streamed` says whether its pieces are wanted, or the whole alone."""

    prompt: Prompt
    sampling: Sampling
    streamed: bool


Item = str | Generation | Exception


class Worker:
    """Generates what its client asks for."""

    def __init__(self, connection: Connection, generator: TextGenerator) -> None:
        """Generate with `generator` what is asked for over `connection`."""
        self._connection = connection
        self._generator = generator
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._written: list[tuple[int, Item]] = []

    async def run(self) -> None:
        """Work until the client has gone."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()

        def read() -> None:
            try:
                while self._connection.poll():
                    self._take(*self._connection.recv())
            except (EOFError, OSError):
                gone.set()

        loop.add_reader(self._connection.fileno(), read)
        await gone.wait()

    def _take(self, number: int, ask: Ask | None) -> None:
        if ask is not None:
            self._tasks[number] = asyncio.ensure_future(self._answer(number, ask))
        elif number in self._tasks:
            self._tasks[number].cancel()

    async def _answer(self, number: int, ask: Ask) -> None:
        try:
            if ask.streamed:
                async with aclosing(self._generator.stream(ask.prompt, ask.sampling)) as items:
                    async for item in items:
                        self._put(number, item)
            else:
                self._put(number, await self._generator.generate(ask.prompt, ask.sampling))
        except Exception as error:  # noqa: BLE001 - raised where the request came from
            self._put(number, portable(error))
        finally:
            del self._tasks[number]

    def _put(self, number: int, item: Item) -> None:
        if not self._written:  # what one step of the batch wrote goes in one message
            asyncio.get_running_loop().call_soon(self._send)
        self._written.append((number, item))

    def _send(self) -> None:
        written, self._written = self._written, []
        try:
            self._connection.send(written)
        except OSError:
            return  # the client has gone, as `run` is about to hear


def portable(error: Exception) -> Exception:
    """`error`, if the other process can be given it; else its text."""
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever its class does when it is made again
        copy = None
    return error if type(copy) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")


def main(descriptor: int) -> None:
    """Load what is asked for, say so, and work."""
    with Connection(descriptor) as connection:
        recipe: Recipe = connection.recv()
        try:
            generator = recipe.make()
        except Exception as error:  # noqa: BLE001 - raised where the recipe came from
            connection.send(portable(error))
            return
        connection.send(generator.describe())
        asyncio.run(Worker(connection, generator).run())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the client, and ends this one with it
    main(int(sys.argv[1]))
    sys.stderr.flush()
    os._exit(0)  # threads of an engine are in the midst of a step: what they use must not be taken down first
