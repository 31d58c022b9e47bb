"""A class of the user's own: `infer(inputs)`, sync or async."""

import asyncio
import functools
import importlib
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deployments.formats.output import judge_output
from deployments.policy.outcome import Outcome
from deployments.request import InferenceRequest
from deployments.settings import PythonSpec


class PythonModel:
    """Calls `infer(inputs)` of an instance of the user's class.

    `inputs` is the request as it was sent, without `model` and `timeout`: `{"text": "Hello"}`. An `async def
    infer` runs on the replica's event loop and gets `CancelledError` when its caller goes away. A plain `def
    infer` runs in a thread, which cannot be interrupted: its result is dropped.
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

    def describe(self) -> dict[str, Any]:
        """Its class, for `/status`."""
        return {"format": "python", "target": self._target}
