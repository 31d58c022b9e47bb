"""The process that runs an engine: `process.ProcessGenerator` starts it and is its only client.

Run as: python -m deployments.generation.worker FD. FD is one end of a socket pair. The messages, pickled:

    in     EngineConfig                       the first message: what to load
    out    (dict, str), or an exception       the generator's facts and chat template, or why there is none; then
    in     (number, GenerateRequest)          a request
    in     (number, TokenQuery)               a query of the tokenizer, which is answered with a Tokenization
    in     (number, None)                     cancels a request
    out    [(number, item), ...]              texts of requests; the last item of a request is a Generation, an
                                              exception, or None where it was cancelled
    out    float                              every second while there is work: for how many seconds it has stalled

The process ends when the client closes its end of the socket pair, and when its engine is of no use any more. A stuck
process cannot see that, so the kernel kills it when the client's process dies.
"""

import asyncio
import contextlib
import ctypes
import math
import os
import pickle
import signal
import sys
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from deployments.generation import Generation, Prompt, Sampling, TextGenerator, Tokenization, TokenQuery


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Which engine to load, and how.

    Attributes:
        target: `module:Class` of a `TextGenerator` with a `warm_up`.
        arguments: its keyword arguments.
        warm_up: a prompt that it answers before it is ready.
    """

    target: str
    arguments: dict[str, Any] = field(default_factory=dict)
    warm_up: tuple[Prompt, Sampling] = (Prompt("Hello"), Sampling(2, 0.0, 60.0))

    def load(self) -> TextGenerator:
        """Load the engine and warm it up. Raises what the engine raises."""
        module, _, name = self.target.partition(":")
        generator = getattr(import_module(module), name)(**self.arguments)
        generator.warm_up(*self.warm_up)
        return generator  # type: ignore[no-any-return]  # whatever class the target names


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A request; `streamed` says whether the client wants the text as it is written, or only the `Generation`."""

    prompt: Prompt
    sampling: Sampling
    streamed: bool


WorkerRequest = GenerateRequest | TokenQuery
"""What a client asks of an engine."""

Item = str | Generation | Tokenization | Exception
"""An item for a request: a text, or one of the others as the last item."""

REPORT_S = 1.0
_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


class Worker:
    """Serves the requests of its client."""

    def __init__(self, connection: Connection, generator: TextGenerator) -> None:
        """Serve the requests that come over `connection` with `generator`."""
        self._connection = connection
        self._generator = generator
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._written: list[tuple[int, Item | None]] = []
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve until the client has gone, or the engine is of no use any more."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                while self._connection.poll():
                    self._receive(*self._connection.recv())
            except (EOFError, OSError):
                self._ended.set()

        loop.add_reader(self._connection.fileno(), read)
        reporting = asyncio.ensure_future(self._report())
        await self._ended.wait()
        reporting.cancel()
        self._send()

    def _receive(self, number: int, request: WorkerRequest | None) -> None:
        if request is not None:
            task = self._tasks[number] = asyncio.ensure_future(self._answer(number, request))
            task.add_done_callback(lambda _: self._forget(number))
        elif number in self._tasks:
            self._tasks[number].cancel()

    async def _answer(self, number: int, request: WorkerRequest) -> None:
        try:
            if isinstance(request, TokenQuery):
                self._put(number, await self._generator.tokenization(request))
            elif request.streamed:
                async with aclosing(self._generator.stream(request.prompt, request.sampling)) as items:
                    async for item in items:
                        self._put(number, item)
            else:
                self._put(number, await self._generator.generate(request.prompt, request.sampling))
        except Exception as error:  # noqa: BLE001 - raised in the client
            self._put(number, _picklable(error))
            if math.isinf(self._generator.stalled_s()):
                self._ended.set()

    def _forget(self, number: int) -> None:
        # Not by the task itself: one that is cancelled before its first turn never runs.
        if self._tasks.pop(number).cancelled():
            self._put(number, None)

    async def _report(self) -> None:
        """Tell the client for how long the engine has stalled, while there is work and once after."""
        told = 0.0
        while True:
            await asyncio.sleep(REPORT_S)
            stalled = self._generator.stalled_s()
            if math.isinf(stalled):  # also where nobody waits: this process is started again, not its replica
                self._ended.set()
                return
            if self._tasks or stalled or told:
                with contextlib.suppress(OSError):  # the client has gone, and `run` is about to notice
                    self._connection.send(stalled)
            told = stalled

    def _put(self, number: int, item: Item | None) -> None:
        if not self._written:  # all items of a step of the batch go in one message
            asyncio.get_running_loop().call_soon(self._send)
        self._written.append((number, item))

    def _send(self) -> None:
        written, self._written = self._written, []
        if not written:
            return
        with contextlib.suppress(OSError):  # the client has gone, and `run` is about to notice
            self._connection.send(written)


def _picklable(error: Exception) -> Exception:
    """`error` if it survives pickling, else a `RuntimeError` with its text."""
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - unpickling runs code of the exception's class
        copy = None
    return error if type(copy) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")


def serve_engine(descriptor: int) -> None:
    """Load the engine that the client asks for, and serve its requests over the socket `descriptor`."""
    with Connection(descriptor) as connection:
        config: EngineConfig = connection.recv()
        try:
            generator = config.load()
        except Exception as error:  # noqa: BLE001 - raised in the client
            connection.send(_picklable(error))
            return
        connection.send((generator.describe(), generator.chat_template))
        asyncio.run(Worker(connection, generator).run())


def _die_with_client() -> None:
    """Have Linux kill this process when the thread ends that has started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _die_with_client()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, and this process ends with the client
    serve_engine(int(sys.argv[1]))
    sys.stderr.flush()
    os._exit(0)  # the engine's threads may be in a step: a normal exit would tear down what they use
