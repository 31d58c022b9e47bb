"""An engine in a process of its own, behind the same protocol as the engines in this process.

OpenVINO's Python binding holds the interpreter lock during a step of the batch. In the replica's own process, its
event loops got one turn for each step, and requests came in one after the other (figures: docs/performance.md). vLLM
keeps its `EngineCore` apart from its API server for the same reason. The process also limits the damage of a crash: the
requests in the engine fail, and the engine is started again.
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
from multiprocessing.connection import Connection
from typing import Any

from deployments.generation import BatchFullError, CannotGenerateError, Generation, Prompt, Sampling, read_to_end
from deployments.generation.worker import EngineConfig, GenerateRequest, Item
from deployments.observability import log

_EXIT_S = 5.0
_RESTARTING = "its engine has ended and is being started again"
_RESTART_S = (0.0, 1.0, 5.0, 30.0)
"""Seconds before each attempt to start an engine again; the last pause repeats."""


class ProcessGenerator:
    """A generator that another process runs."""

    def __init__(self, name: str, config: EngineConfig) -> None:
        """Start the process and wait until it is ready.

        Args:
            name: the model's name in log lines.
            config: what the process loads.

        Raises:
            CannotLoadError: the engine cannot load the weights. Other errors of loading are raised as they are.
            RuntimeError: the process ended while it was loading.
        """
        self._supervisor = _Supervisor(name, config)
        weakref.finalize(self, self._supervisor.close)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`. The process sends the answer in one message."""
        return await read_to_end(self._items(GenerateRequest(prompt, sampling, streamed=False)))

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. A slow reader does not slow the batch down: at most `max_tokens` wait to be read."""
        return self._items(GenerateRequest(prompt, sampling, streamed=True))

    def describe(self) -> dict[str, Any]:
        """The engine's facts, requests under way and process id; `restarting` while there is no engine."""
        engine = self._supervisor.engine
        if engine is None or engine.closed:
            return {"engine": "restarting"}
        return {**engine.facts, "active": engine.active, "process": engine.pid}

    def close(self) -> None:
        """End the process; requests under way fail. Garbage collection of the generator does the same."""
        self._supervisor.close()

    async def _items(self, request: GenerateRequest) -> AsyncGenerator[str | Generation, None]:
        engine = self._supervisor.engine
        if engine is None:
            raise CannotGenerateError(_RESTARTING)
        number, items = engine.submit(request)
        try:
            while True:
                item = await items.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Generation):
                    return
        finally:
            engine.cancel(number)


class _Supervisor:
    """Receives from the engine, and starts a new one whenever it ends, until it is closed.

    Attributes:
        engine: the running engine; `None` while there is none.
    """

    def __init__(self, name: str, config: EngineConfig) -> None:
        self._name = name
        self._config = config
        self._closed = threading.Event()
        engine = _EngineProcess(config)
        self.engine: _EngineProcess | None = engine
        threading.Thread(target=self._supervise, args=(engine,), name="engine-receive", daemon=True).start()

    def close(self) -> None:
        """End the engine and start no other."""
        self._closed.set()
        if engine := self.engine:
            engine.close()

    def _supervise(self, engine: "_EngineProcess | None") -> None:
        while engine is not None:
            status = engine.receive()
            self.engine = None
            if not self._closed.is_set():
                log.engine_ended(self._name, status)
            engine = self._restart()

    def _restart(self) -> "_EngineProcess | None":
        for pause in itertools.chain(_RESTART_S, itertools.repeat(_RESTART_S[-1])):
            if self._closed.wait(pause):
                return None
            try:
                engine = _EngineProcess(self._config)
            except Exception as error:  # noqa: BLE001 - whatever loading raises, it is tried again
                log.internal_error("engine", self._name, error)
                continue
            self.engine = engine
            if self._closed.is_set():
                engine.close()
            return engine
        raise AssertionError("the pauses never end")


class _EngineProcess:
    """One process, from its start to its end.

    Attributes:
        facts: what the engine's `describe` said when it was ready.
        closed: whether it accepts no more requests.
    """

    def __init__(self, config: EngineConfig) -> None:
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
        self._lock = threading.Lock()
        self._outgoing: queue.SimpleQueue[tuple[int, GenerateRequest | None] | None] = queue.SimpleQueue()
        self.closed = False
        try:
            self._connection.send(config)
            reply = self._connection.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"the engine's process ended as it loaded, with {self._end()}") from None
        if isinstance(reply, Exception):
            self._end()
            raise reply
        self.facts: dict[str, Any] = reply
        # Sending a large prompt blocks until the process reads it, so no event loop may do it.
        threading.Thread(target=self._send, name="engine-send", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def active(self) -> int:
        """Requests under way."""
        return len(self._waiting)

    def submit(self, request: GenerateRequest) -> tuple[int, asyncio.Queue[Item]]:
        """Send a request. Returns its number and the queue of its items, read in the current event loop.

        Raises:
            BatchFullError: there is no room. Nothing waits here: another replica or model may have room.
            CannotGenerateError: the process has ended.
        """
        items: asyncio.Queue[Item] = asyncio.Queue()
        with self._lock:
            if self.closed:
                raise CannotGenerateError(_RESTARTING)
            if len(self._waiting) >= self.facts.get("capacity", sys.maxsize):
                raise BatchFullError(f"its batch of {self.facts['capacity']} is full")
            number = next(self._numbers)
            self._waiting[number] = asyncio.get_running_loop(), items
        self._outgoing.put((number, request))
        return number, items

    def cancel(self, number: int) -> None:
        """Cancel a request, unless it has ended."""
        if self._waiting.pop(number, None):
            self._outgoing.put((number, None))

    def receive(self) -> int:
        """Deliver items until the process ends, then fail the requests under way. Returns the exit status."""
        try:
            while True:
                self._deliver(self._connection.recv())
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            status = self._end()
        with self._lock:
            self.closed = True
            lost = RuntimeError(f"the engine's process has ended, with {status}")
            self._deliver([(number, lost) for number in list(self._waiting)])
        return status

    def close(self) -> None:
        """Close the connection, upon which the process ends."""
        self.closed = True
        self._outgoing.put(None)
        with contextlib.suppress(OSError):  # it has ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self) -> None:
        while (message := self._outgoing.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                return  # the process has ended, and `receive` notices

    def _deliver(self, written: list[tuple[int, Item]]) -> None:
        """Put items into the queues of their requests; each event loop is woken once for all of its items."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Queue[Item], Item]]] = defaultdict(list)
        for number, item in written:
            if waiting := self._waiting.get(number):
                if waiting[0].is_closed():  # its callers have gone with it
                    self.cancel(number)
                else:
                    by_loop[waiting[0]].append((waiting[1], item))
        for loop, items in by_loop.items():
            with contextlib.suppress(RuntimeError):  # closed just now: the next item finds out above
                loop.call_soon_threadsafe(_put, items)

    def _end(self) -> int:
        self._connection.close()
        self._socket.close()
        self._outgoing.put(None)
        try:
            return self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _put(items: list[tuple[asyncio.Queue[Item], Item]]) -> None:
    for items_of_one, item in items:
        items_of_one.put_nowait(item)
