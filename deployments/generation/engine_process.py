"""The process of an engine, as the replica sees it: it is started, given requests, listened to, and killed.

`worker` is what runs in it, and has the messages. A request is work of the process until the process has said that the
request has ended. So a process that is stuck keeps the work of callers who have long gone, and its replica sees that.
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
from collections import defaultdict
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from deployments.generation import BatchFullError, CannotGenerateError, TokenQuery
from deployments.generation.progress import Progress
from deployments.generation.worker import EngineConfig, Item, WorkerRequest

RESTARTING = "its engine has ended and is being started again"
"""Why a request is refused while there is no process."""

_EXIT_S = 5.0


class EngineProcess:
    """One process, from its start to its end.

    Attributes:
        facts: what the engine's `describe` said when it was ready.
        chat_template: that of the engine.
        closed: whether it accepts no more requests.
    """

    def __init__(self, config: EngineConfig, clock: Callable[[], float]) -> None:
        """Start it and wait until it is ready. Linux kills it when the calling thread ends.

        Raises:
            RuntimeError: it ended while it was loading. Other errors of loading are raised as they are.
        """
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
        self._queries: set[int] = set()  # those that ask the tokenizer; also some that have ended
        self._lock = threading.Lock()
        self._progress = Progress(clock)
        self._unfinished: set[int] = set()  # requests whose last item has not come: a cancelled one still has to end
        self._reported_s = 0.0
        self._outgoing: queue.SimpleQueue[tuple[int, WorkerRequest | None] | None] = queue.SimpleQueue()
        self.closed = False
        try:
            self._connection.send(config)
            reply = self._connection.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"the engine's process ended as it loaded, with {self._end()}") from None
        if isinstance(reply, Exception):
            self._end()
            raise reply
        self.facts: dict[str, Any]
        self.chat_template: str
        self.facts, self.chat_template = reply
        # Sending a large prompt blocks until the process reads it, so no event loop may do it.
        threading.Thread(target=self._send, name="engine-send", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def active(self) -> int:
        """Generations under way."""
        return len(self._waiting) - len(self._queries & self._waiting.keys())

    def submit(self, request: WorkerRequest) -> tuple[int, asyncio.Queue[Item]]:
        """Send a request. Returns its number and the queue of its items, read in the current event loop.

        Raises:
            BatchFullError: there is no room. Nothing waits here: another replica or model may have room.
            CannotGenerateError: the process has ended.
        """
        items: asyncio.Queue[Item] = asyncio.Queue()
        with self._lock:
            if self.closed:
                raise CannotGenerateError(RESTARTING)
            is_query = isinstance(request, TokenQuery)  # which takes no place in the batch
            if not is_query and self.active >= self.facts.get("capacity", sys.maxsize):
                raise BatchFullError(f"its batch of {self.facts['capacity']} is full")
            number = next(self._numbers)
            self._unfinished.add(number)
            self._progress.begin()
            self._waiting[number] = asyncio.get_running_loop(), items
            if is_query:
                self._queries = (self._queries | {number}) & self._waiting.keys()
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
                message = self._connection.recv()
                if isinstance(message, float):
                    self._reported_s = message
                    self._progress.advance(ago_s=message)
                else:
                    self._deliver(self._noted(message))
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            status = self._end()
        with self._lock:
            self.closed = True
            lost = RuntimeError(f"the engine's process has ended, with {status}")
            self._deliver([(number, lost) for number in list(self._waiting)])
        return status

    def stalled_s(self) -> float:
        """Return the longer stall, in seconds: measured here, or last reported by the process."""
        return max(self._progress.stalled_s(), self._reported_s)

    def close(self) -> None:
        """Kill the process: one that is stuck would not see that the connection is closed."""
        self.closed = True
        self._outgoing.put(None)
        self._process.kill()
        with contextlib.suppress(OSError):  # it has ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self) -> None:
        while (message := self._outgoing.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                return  # the process has ended, and `receive` notices

    def _noted(self, written: Sequence[tuple[int, Item | None]]) -> list[tuple[int, Item]]:
        """The items of `written`, once it is noted which requests have advanced, and which have ended."""
        for number, item in written:
            if isinstance(item, str):
                self._progress.advance()
            elif number in self._unfinished:
                self._unfinished.remove(number)
                self._progress.end()
        return [(number, item) for number, item in written if item is not None]

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
