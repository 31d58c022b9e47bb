"""A class of the user's own: `infer(inputs)`, sync or async, and `stream(inputs)` where it has one."""

import asyncio
import functools
import importlib
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

from deployments.execution.attempt import Begun, begin
from deployments.formats.output import output_to_outcome
from deployments.formats.user_loop import UserLoop
from deployments.generation.channel import Channel
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

    def __init__(self, target: str, instance: Any, threads: int) -> None:
        """Wrap `instance`, the object of the class named by `target`.

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
        self._user_loop = UserLoop(f"loop of {target}")
        # One thread for every request that can be under way: a call that hangs must not hold up the others.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="infer")

    @classmethod
    def load(cls, spec: PythonSpec) -> "PythonModel":
        """Import the class and build its instance. Whatever that raises is raised."""
        module, _, name = spec.target.partition(":")
        target = getattr(importlib.import_module(module), name)
        return cls(spec.target, target(**spec.arguments), spec.max_ongoing_requests)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:  # noqa: ARG002 - ServedModel
        """Answer with what the class returns, or writes; whatever it raises is raised. It is not told of `budget_s`."""
        if request.stream and request.prefix:
            return Refused("a class of its owner's cannot carry on with a text")
        if request.stream and self._stream is not None:
            return await begin(self._items(self._stream, dict(request.inputs)))
        call = functools.partial(self._infer, dict(request.inputs))
        if self._is_async:
            return output_to_outcome(await self._user_loop.run(call))
        result = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        # A plain function may still hand back an awaitable (a decorated or partial one).
        return output_to_outcome(await self._user_loop.run(lambda: result) if inspect.isawaitable(result) else result)

    async def _items(self, stream: Callable[[Any], Any], inputs: dict[str, Any]) -> AsyncGenerator[StreamItem, None]:
        """What the class's `stream` writes."""
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
        """A plain generator in a thread: it may block."""
        given_up = threading.Event()
        channel = Channel(given_up)
        odd: list[Any] = []

        def work() -> None:
            for piece in pieces:
                if given_up.is_set():
                    break
                if not isinstance(piece, str):
                    odd.append(piece)
                    break
                channel.put(piece)
            if inspect.isgenerator(pieces):
                pieces.close()

        working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        working.add_done_callback(lambda _: channel.close())
        try:
            async for text in channel:
                yield text
            await working
            for piece in odd:
                yield piece
        finally:
            given_up.set()

    def describe(self) -> dict[str, Any]:
        """Its class, for `/status`."""
        return {"format": "python", "target": self._target}
