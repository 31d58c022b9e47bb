"""A class of the user's own: `infer(inputs)`, sync or async, and `stream(inputs)` where it has one."""

import functools
import importlib
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from deployments.execution.attempt import Begun, begin
from deployments.formats.calling import WITHOUT_TOOLS, InferenceThreads
from deployments.formats.output import output_to_outcome
from deployments.formats.user_loop import UserLoop
from deployments.generation.channel import Channel
from deployments.generation.progress import Progress
from deployments.policy.outcome import Failed, Finished, Outcome, Refused, StreamItem
from deployments.request import InferenceRequest
from deployments.settings import PythonSpec


class PythonModel:
    """Calls `infer(inputs)` and `stream(inputs)` of an instance of the user's class.

    `inputs` is the request as it was sent, without `model` and what controls it: `{"text": "Hello"}`. An `async def
    infer` runs on an event loop of the model's own and gets `CancelledError` when its caller goes away. A plain `def
    infer` runs in a thread, which cannot be interrupted: its result is dropped.

    `stream(inputs)` is a generator of texts, plain or asynchronous. It is held up while nobody reads, and closed when
    its reader goes away. A class without it answers a stream with what `infer` returns, in one piece.
    """

    def __init__(self, target: str, instance: Any, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Wrap an object of the user's class.

        Args:
            target: the name of its class.
            instance: the object.
            threads: plain calls at a time.
            clock: seconds since any moment, by which `stalled_s` is measured.

        Raises:
            TypeError: it has no method `infer`.
        """
        infer = getattr(instance, "infer", None)
        if not callable(infer):
            raise TypeError(f"{target} has no method infer(inputs)")
        self._target = target
        self._infer: Callable[[Any], Any] = infer
        self._stream: Callable[[Any], Any] | None = getattr(instance, "stream", None)
        self._is_async = inspect.iscoroutinefunction(infer)
        self._progress = Progress(clock)
        self._user_loop = UserLoop(f"loop of {target}", self._progress)
        # One thread for every request that can be under way: a call that hangs must not hold up the others.
        self._threads = InferenceThreads(threads, self._progress)

    @classmethod
    def load(cls, spec: PythonSpec) -> "PythonModel":
        """Import the class and build its instance. Whatever that raises is raised."""
        module, _, name = spec.target.partition(":")
        target = getattr(importlib.import_module(module), name)
        return cls(spec.target, target(**spec.arguments), spec.max_ongoing_requests)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:  # noqa: ARG002 - ServedModel
        """Answer with what the class returns or writes; what it raises is raised. It does not hear of `budget_s`."""
        if request.response_format.functions:
            return WITHOUT_TOOLS
        if request.stream and request.prefix:
            return Refused("a class of its owner's cannot carry on with a text")
        if request.stream and self._stream is not None:
            return await begin(self._items(self._stream, dict(request.inputs)))
        inputs = dict(request.inputs)

        def call() -> Any:  # keeps the model, which a pool may put out, for as long as the call is under way
            return self._infer(inputs)

        if self._is_async:
            return output_to_outcome(await self._user_loop.run(call))
        result = await self._threads.run(call)
        # A plain function may still hand back an awaitable (a decorated or partial one).
        return output_to_outcome(await self._user_loop.run(lambda: result) if inspect.isawaitable(result) else result)

    async def _items(self, stream: Callable[[Any], Any], inputs: dict[str, Any]) -> AsyncGenerator[StreamItem, None]:
        """Yield what the class's `stream` writes, and the end."""
        call = functools.partial(stream, inputs)
        pieces = self._drive(call()) if inspect.isgeneratorfunction(stream) else self._user_loop.iterate(call)
        async with aclosing(pieces):
            async for piece in pieces:
                if not isinstance(piece, str):
                    yield Failed(f"its stream gave a {type(piece).__name__}, which is no text")
                    return
                yield piece
        yield Finished()

    async def _drive(self, pieces: Iterator[Any]) -> AsyncGenerator[Any, None]:
        """Yield what a plain generator gives: it runs in a thread, as it may block."""
        given_up = threading.Event()
        channel = Channel(given_up, self._progress)
        odd: list[Any] = []

        def work() -> None:
            for piece in pieces:
                if given_up.is_set():
                    break
                if not isinstance(piece, str):
                    odd.append(piece)
                    break
                self._progress.advance()
                channel.put(piece)
            if inspect.isgenerator(pieces):
                pieces.close()

        working = self._threads.run(work)
        working.add_done_callback(lambda _: channel.close())
        try:
            async for text in channel:
                yield text
            await working
            for piece in odd:
                yield piece
        finally:
            given_up.set()
            working.cancel()  # if it still waits for a thread, nothing of the user's code is run

    def describe(self) -> dict[str, Any]:
        """Its class, for `/status`."""
        return {"format": "python", "target": self._target}

    def stalled_s(self) -> float:
        """Seconds since a call last began or ended, or a stream gave an item, while any is under way; else 0."""
        return self._progress.stalled_s()
