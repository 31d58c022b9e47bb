"""A class of the user's own: `infer(inputs)`, sync or async, and `stream(inputs)` where it has one."""

import asyncio
import functools
import importlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from deployments.formats.output import judge_output
from deployments.policy.outcome import Answered, Blank, Failed, Finished, Outcome, Refused, StreamItem
from deployments.request import InferenceRequest
from deployments.settings import PythonSpec


class PythonModel:
    """Calls `infer(inputs)` of an instance of the user's class.

    `inputs` is the request as it was sent, without `model` and `timeout`: `{"text": "Hello"}`. An `async def
    infer` runs on the replica's event loop and gets `CancelledError` when its caller goes away. A plain `def
    infer` runs in a thread, which cannot be interrupted: its result is dropped.

    `stream(inputs)` is a generator of texts, plain (each step in a thread) or asynchronous. It is closed when its
    reader goes away. A class without it answers a stream with what `infer` returns, in one piece.
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
        # One thread for every request that can be under way: a call that hangs must not hold up the others.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="infer")

    @classmethod
    def load(cls, spec: PythonSpec) -> "PythonModel":
        """Import the class and build its instance. Whatever that raises is raised."""
        module, _, name = spec.target.partition(":")
        target = getattr(importlib.import_module(module), name)
        return cls(spec.target, target(**spec.arguments), spec.max_ongoing_requests)

    async def infer(self, request: InferenceRequest, budget_s: float) -> Outcome:  # noqa: ARG002 - ServedModel
        """Answer with what the class returns. The user's code is not told of `budget_s`."""
        inputs = dict(request.inputs)
        if self._is_async:
            return judge_output(await self._infer(inputs))
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._threads, functools.partial(self._infer, inputs))
        # A plain function may still hand back an awaitable (a decorated or partial one).
        return judge_output(await result if inspect.isawaitable(result) else result)

    async def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:
        """Answer with what the class writes; whatever it raises is raised."""
        if request.prefix:
            yield Refused("a class of its owner's cannot carry on with a text")
            return
        if self._stream is None:
            for item in _as_stream(await self.infer(request, budget_s)):
                yield item
            return
        pieces = self._stream(dict(request.inputs))
        pieces = await pieces if inspect.isawaitable(pieces) else pieces
        written = self._drive(pieces) if isinstance(pieces, Iterator) else aiter(pieces)
        try:
            async for piece in written:
                if not isinstance(piece, str):
                    yield Failed(f"its stream gave a {type(piece).__name__}, which is no text")
                    return
                yield piece
            yield Finished()
        finally:
            await _close(written)

    async def _drive(self, pieces: Iterator[Any]) -> AsyncIterator[Any]:
        """A plain generator, step by step in a thread: it may block."""
        loop = asyncio.get_running_loop()
        try:
            while (piece := await loop.run_in_executor(self._threads, next, pieces, _END)) is not _END:
                yield piece
        finally:
            if inspect.isgenerator(pieces) and not pieces.gi_running:
                pieces.close()

    def describe(self) -> dict[str, Any]:
        """Its class, for `/status`."""
        return {"format": "python", "target": self._target}


_END = object()


def _as_stream(outcome: Outcome) -> list[StreamItem]:
    """What `infer` returned, in one piece."""
    if isinstance(outcome, Answered):
        result = outcome.result
        return [result if isinstance(result, str) else orjson.dumps(result).decode(), Finished(usage=outcome.usage)]
    return [outcome if isinstance(outcome, (Blank, Failed)) else Failed(outcome.reason)]


async def _close(pieces: Any) -> None:
    """Close an asynchronous generator; another kind of iterator need not have a way to."""
    if hasattr(pieces, "aclose"):
        await pieces.aclose()
