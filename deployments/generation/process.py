"""An engine in a process of its own, behind the protocol of all engines.

OpenVINO's binding holds Python's interpreter lock for as long as a step of the batch takes: in the replica's own
process its event loops got one turn a step, and requests came in one after the other (figures: docs/performance.md).
vLLM keeps its `EngineCore` apart from its API server for the same reason. It is a wall, too: an engine that crashes
takes the requests in it with it, and is started again.
"""

import asyncio
import contextlib
import itertools
import os
import queue
import socket
import subprocess
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from multiprocessing.connection import Connection
from typing import Any

from deployments.generation import BatchFullError, CannotGenerateError, Generation, Prompt, Sampling
from deployments.generation.worker import Ask, Item, Recipe
from deployments.observability import log

_LEAVE_S = 5.0
_RESTARTING = "its engine has ended and is being started again"
_RESTART_S = (0.0, 1.0, 5.0, 30.0)
"""Pauses before an engine that has ended is started again; the last one holds from then on."""


class ProcessGenerator:
    """A generator whose work is done elsewhere."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        """Start the process and wait until it is ready.

        Args:
            name: what log lines call it.
            recipe: what the process loads.

        Raises:
            CannotLoadError: it cannot be loaded. Whatever else the generator raises is raised, too.
            RuntimeError: the process has ended.
        """
        self._keeper = _Keeper(name, recipe)
        weakref.finalize(self, self._keeper.close)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`."""
        async with aclosing(self._items(Ask(prompt, sampling, streamed=False))) as items:
            async for item in items:
                if isinstance(item, Generation):
                    return item
        raise AssertionError("an engine ends with a generation")

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. What nobody reads yet waits, at most `max_tokens` of it: a batch waits for nobody."""
        async with aclosing(self._items(Ask(prompt, sampling, streamed=True))) as items:
            async for item in items:
                yield item

    def describe(self) -> dict[str, Any]:
        """The engine's facts, and its process; `restarting` while there is none."""
        engine = self._keeper.engine
        if engine is None:
            return {"engine": "restarting"}
        return {**engine.facts, "active": engine.active, "process": engine.pid}

    def close(self) -> None:
        """End the process; what is under way fails. It ends by itself when nothing holds this any more."""
        self._keeper.close()

    async def _items(self, ask: Ask) -> AsyncGenerator[str | Generation, None]:
        engine = self._keeper.engine
        if engine is None:
            raise CannotGenerateError(_RESTARTING)
        number, items = engine.begin(ask)
        try:
            while True:
                item = await items.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Generation):
                    return
        finally:
            engine.leave(number)


class _Keeper:
    """Listens to the engine, and starts another one whenever it ends, for as long as it is wanted.

    Attributes:
        engine: `None` while there is none.
    """

    def __init__(self, name: str, recipe: Recipe) -> None:
        self._name = name
        self._recipe = recipe
        self._unwanted = threading.Event()
        engine = _Engine(recipe)
        self.engine: _Engine | None = engine
        threading.Thread(target=self._keep, args=(engine,), name="engine-listen", daemon=True).start()

    def close(self) -> None:
        """It is not wanted any more."""
        self._unwanted.set()
        if engine := self.engine:
            engine.close()

    def _keep(self, engine: "_Engine | None") -> None:
        while engine is not None:
            status = engine.listen()
            self.engine = None
            if not self._unwanted.is_set():
                log.engine_ended(self._name, status)
            engine = self._start_again()

    def _start_again(self) -> "_Engine | None":
        for pause in itertools.chain(_RESTART_S, itertools.repeat(_RESTART_S[-1])):
            if self._unwanted.wait(pause):
                return None
            try:
                engine = _Engine(self._recipe)
            except Exception as error:  # noqa: BLE001 - whatever loading raises: it is tried again
                log.internal_error("engine", self._name, error)
                continue
            self.engine = engine
            if self._unwanted.is_set():
                engine.close()
            return engine
        raise AssertionError("it is tried for ever")


class _Engine:
    """One process, from its start to its end."""

    def __init__(self, recipe: Recipe) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "deployments.generation.worker", str(theirs.fileno())]
            path = os.pathsep.join(entry for entry in sys.path if entry)
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, pass_fds=[theirs.fileno()], env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL
            )
        self._connection = Connection(os.dup(self._socket.fileno()))
        self._numbers = itertools.count()
        self._waiting: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Queue[Item]]] = {}
        self._settling = threading.Lock()
        self._outgoing: queue.SimpleQueue[tuple[int, Ask | None] | None] = queue.SimpleQueue()
        self.closed = False
        try:
            self._connection.send(recipe)
            told = self._connection.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"the engine's process ended as it loaded, with {self._end()}") from None
        if isinstance(told, Exception):
            self._end()
            raise told
        self.facts: dict[str, Any] = told
        # A large prompt may have to wait until the process reads it: nothing an event loop could do.
        threading.Thread(target=self._send, name="engine-send", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def active(self) -> int:
        """Requests under way."""
        return len(self._waiting)

    def begin(self, ask: Ask) -> tuple[int, asyncio.Queue[Item]]:
        """Send a request; gives its number and what comes of it.

        Raises:
            BatchFullError: there is no room, and nothing queues: another replica or tier may have some.
        """
        items: asyncio.Queue[Item] = asyncio.Queue()
        with self._settling:
            if self.closed:
                raise CannotGenerateError(_RESTARTING)
            if len(self._waiting) >= self.facts.get("capacity", sys.maxsize):
                raise BatchFullError(f"its batch of {self.facts['capacity']} is full")
            number = next(self._numbers)
            self._waiting[number] = asyncio.get_running_loop(), items
        self._outgoing.put((number, ask))
        return number, items

    def leave(self, number: int) -> None:
        """Nobody waits for this request any more."""
        if self._waiting.pop(number, None):
            self._outgoing.put((number, None))

    def listen(self) -> int:
        """Hand out what is written until the process has ended, then fail what is left; gives its exit status."""
        try:
            while True:
                self._deliver(self._connection.recv())
        except (EOFError, OSError):  # OSError: it ended in the midst of a message
            status = self._end()
        with self._settling:
            self.closed = True
            lost = RuntimeError(f"the engine's process has ended, with {status}")
            self._deliver([(number, lost) for number in list(self._waiting)])
        return status

    def close(self) -> None:
        """Have the process end: it does when its connection does."""
        self.closed = True
        self._outgoing.put(None)
        with contextlib.suppress(OSError):  # it has ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self) -> None:
        while (message := self._outgoing.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                return  # it has ended, as `listen` hears

    def _deliver(self, written: list[tuple[int, Item]]) -> None:
        """Hand each event loop all of its items at once."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Queue[Item], Item]]] = defaultdict(list)
        for number, item in written:
            if waiting := self._waiting.get(number):
                if waiting[0].is_closed():  # whoever waited there has gone with it
                    self.leave(number)
                else:
                    by_loop[waiting[0]].append((waiting[1], item))
        for loop, items in by_loop.items():
            with contextlib.suppress(RuntimeError):  # it was closed just now: the next item finds that out
                loop.call_soon_threadsafe(_put, items)

    def _end(self) -> int:
        self._connection.close()
        self._socket.close()
        self._outgoing.put(None)
        try:
            return self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _put(items: list[tuple[asyncio.Queue[Item], Item]]) -> None:
    for items_of_one, item in items:
        items_of_one.put_nowait(item)
