"""Many generations in one batch, driven by one thread: what an engine with continuous batching has to be given.

The engine advances all of its requests by one token at a time. So nothing here waits for a single request: what is
written is handed to the event loop and waits there for its reader, bounded by `max_tokens`. What is cheaper for all
tokens of a step at once is done so: making text of them, and waking the event loop.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from deployments.generation import BatchFullError, Generation, Sampling
from deployments.generation.detokenizer import Pieces
from deployments.observability import log


class Request(Protocol):
    """One request inside an engine."""

    def read(self) -> Sequence[int]:
        """The tokens written since it was last read."""
        ...

    def finished(self) -> str:
        """`stop` or `length` once it has ended by itself; empty before."""
        ...

    def cancel(self) -> None:
        """Take it out of the batch by the next step."""
        ...


class Engine(Protocol):
    """What batches. Called from one thread only."""

    def add(self, tokens: Sequence[int], sampling: Sampling) -> Request:
        """Take a request in. Whatever this raises is raised to its caller."""
        ...

    def step(self) -> None:
        """Advance every request by a token; blocks for as long."""
        ...

    def foresee(self, windows: Sequence[Sequence[int]]) -> None:
        """The texts of these tokens are about to be asked for, one by one."""
        ...


class Member:
    """One generation in the batch, and the way of its pieces to the event loop it was made in.

    Attributes:
        loop: that event loop.
    """

    def __init__(self, tokens: Sequence[int], sampling: Sampling, pieces: Pieces, now: float) -> None:
        """Be ready to be taken into a batch; its budget runs from `now`."""
        self.tokens = tokens
        self.sampling = sampling
        self.given_up = False
        self._pieces = pieces
        self._end = now + sampling.budget_s
        self.loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[str | Generation | Exception] = asyncio.Queue()
        self._text: list[str] = []
        self._written = 0
        self.request: Request | None = None

    async def next(self) -> str | Generation:
        """What comes next: a text, or the whole, which is the last. Raises what the engine has raised."""
        item = await self._items.get()
        if isinstance(item, Exception):
            raise item
        return item

    def windows(self, tokens: Sequence[int]) -> Sequence[Sequence[int]]:
        """What `advance` will want the texts of: all of it, if there is one token."""
        return self._pieces.windows(tokens[0]) if tokens else ()

    def advance(self, request: Request, tokens: Sequence[int], now: float, outbox: "Outbox") -> Generation | None:
        """Hand on the `tokens` written; gives the whole where it has ended, which is to be handed on behind them."""
        for token in tokens:
            self._written += 1
            self._tell(self._pieces.add(token), outbox)
            if self._pieces.stopped:
                break
        finished = "stop" if self._pieces.stopped else request.finished()
        if not finished and now >= self._end:
            finished = "deadline"
        if not finished and not self.given_up:
            return None
        request.cancel()
        self._tell(self._pieces.finish(), outbox)
        return Generation("".join(self._text), len(self.tokens), self._written, finished or "stop")

    def take(self, item: str | Generation | Exception) -> None:
        """What comes next; nothing behind anything but a text. Called on `loop`."""
        self._items.put_nowait(item)

    def _tell(self, text: str, outbox: "Outbox") -> None:
        if text:
            self._text.append(text)
            outbox.put(self, text)


class Outbox:
    """What is to be handed to event loops, each of which is woken once for all of it: that takes a system call."""

    def __init__(self) -> None:
        """Be empty."""
        self._items: dict[asyncio.AbstractEventLoop, list[tuple[Member, str | Generation | Exception]]] = {}

    def put(self, member: Member, item: str | Generation | Exception) -> None:
        """`item` is for `member`, behind what is there for it already."""
        self._items.setdefault(member.loop, []).append((member, item))

    def send(self) -> None:
        """Hand all of it over."""
        items, self._items = self._items, {}
        for loop, its in items.items():
            try:
                loop.call_soon_threadsafe(_deliver, its)
            except RuntimeError:  # it is closed: whoever waited has gone with it; the others in the batch have not
                for member, _ in its:
                    member.given_up = True


def _deliver(items: Sequence[tuple[Member, str | Generation | Exception]]) -> None:
    for member, item in items:
        member.take(item)


class Batch:
    """Drives an engine for as long as anybody wants something of it."""

    def __init__(self, engine: Engine, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Drive `engine` with at most `capacity` requests at a time."""
        self._engine = engine
        self._capacity = capacity
        self._clock = clock
        self._members: list[Member] = []
        self._arrived: list[Member] = []
        self._outbox = Outbox()
        self._wanted = threading.Condition()
        threading.Thread(target=self._drive, name="generate", daemon=True).start()

    @property
    def active(self) -> int:
        """Requests in the batch, or about to be."""
        return len(self._members) + len(self._arrived)

    def add(self, member: Member) -> None:
        """Take `member` in.

        Raises:
            BatchFullError: there is no room, and nothing queues: another replica or tier may have some.
        """
        with self._wanted:
            if self.active >= self._capacity:
                raise BatchFullError(f"its batch of {self._capacity} is full")
            self._arrived.append(member)
            self._wanted.notify()

    def _drive(self) -> None:
        while True:
            with self._wanted:
                while not self._members and not self._arrived:
                    self._wanted.wait()
                arrived, self._arrived = self._arrived, []
                self._members += arrived
            for member in arrived:
                self._admit(member)
            if self._members:
                self._step()

    def _admit(self, member: Member) -> None:
        try:
            member.request = self._engine.add(member.tokens, member.sampling)
        except Exception as error:  # noqa: BLE001 - raised where the request came from
            self._members.remove(member)
            self._outbox.put(member, error)
            self._outbox.send()

    def _step(self) -> None:
        ended: list[tuple[Member, Generation]] = []
        going_on: list[Member] = []
        try:
            self._engine.step()
            now = self._clock()
            written = [(member, member.request, member.request.read()) for member in self._members if member.request]
            self._engine.foresee([window for member, _, tokens in written for window in member.windows(tokens)])
            for member, request, tokens in written:
                generation = member.advance(request, tokens, now, self._outbox)
                if generation is None:
                    going_on.append(member)
                else:
                    ended.append((member, generation))
        except Exception as error:  # noqa: BLE001 - an engine that breaks fails those in it, and is asked again
            log.internal_error("generate", "batch", error)
            self._break(error)
            return
        self._members = going_on  # before they hear of it: there is room for their next request
        for member, generation in ended:
            self._outbox.put(member, generation)
        self._outbox.send()

    def _break(self, error: Exception) -> None:
        broken, self._members = self._members, []
        for member in broken:
            if member.request:
                member.request.cancel()
            self._outbox.put(member, RuntimeError(f"the engine failed: {error}"))
        self._outbox.send()
