"""What models have in common that answer as a whole, by a call that blocks."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deployments.formats.output import output_to_outcome
from deployments.policy.outcome import Outcome, Refused, Rejected
from deployments.request import InferenceRequest

Facts = Mapping[str, Any]


class UnreadableInputError(Exception):
    """What a caller has sent is not what the model takes: the caller's fault, not the model's.

    Attributes:
        field: of the request.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class CalledModel:
    """Answers with what `call(inputs)` returns, each call in a thread, and never streams.

    A call that raises `UnreadableInputError` rejects the request.
    """

    def __init__(self, call: Callable[[Facts], Any], facts: Facts, threads: int) -> None:
        """Answer with `call`; `facts` are told in `/status`."""
        self._call = call
        self._facts = facts
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="infer")

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome:  # noqa: ARG002 - it cannot be stopped
        """Answer; what the model raises is raised."""
        if request.stream and request.prefix:
            return Refused("it is no language model, and cannot carry on with a text")
        inputs = dict(request.inputs)
        if request.messages:  # of a chat it reads the last turn
            inputs["text"] = request.messages[-1]["content"]
        loop = asyncio.get_running_loop()
        try:
            return output_to_outcome(await loop.run_in_executor(self._threads, self._call, inputs))
        except UnreadableInputError as error:
            return Rejected(str(error), error.field)

    def describe(self) -> dict[str, Any]:
        """For `/status`."""
        return dict(self._facts)
