"""Calls that block, each in a thread: the models that answer as a whole, and the threads of all that blocks."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from deployments.formats.output import output_to_outcome
from deployments.generation.progress import Progress
from deployments.policy.outcome import Answered, Outcome, Refused, Rejected
from deployments.policy.problem import UNSUPPORTED
from deployments.request import InferenceRequest

_T = TypeVar("_T")

Facts = Mapping[str, Any]


class UnreadableInputError(Exception):
    """The model cannot read what the caller has sent: the caller's fault, not the model's.

    Attributes:
        field: the field of the request that it cannot read.
        code: as in `Rejected`.
        elsewhere: another model may be able to.
    """

    def __init__(self, field: str, reason: str, code: str = "", *, elsewhere: bool = False) -> None:
        super().__init__(reason)
        self.field, self.code, self.elsewhere = field, code, elsewhere


@dataclass(frozen=True, slots=True)
class FromCutText:
    """What a model has made of a text of which the last `cut` tokens were left out."""

    result: Any
    cut: int


WITHOUT_TOOLS = Rejected(
    "it is no language model of ours, and cannot be offered tools", "tools", UNSUPPORTED, elsewhere=True
)
"""Of a request that lets tools be called: an answer without them would be one to another question."""


class InferenceThreads:
    """A fixed number of threads. A call in one of them is work from its first line to its end.

    A thread cannot be interrupted: a call whose caller has gone goes on, keeps its thread, and is still work.
    """

    def __init__(self, threads: int, progress: Progress) -> None:
        """Run up to `threads` calls at a time; `progress` hears of each."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._progress = progress

    def run(self, call: Callable[[], _T]) -> "asyncio.Future[_T]":
        """Call `call` in a thread, as soon as one is free. Cancelling the future cancels a call that has not begun."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._work, call)

    def _work(self, call: Callable[[], _T]) -> _T:
        with self._progress.work():
            return call()


class CalledModel:
    """Answers with what `call(inputs)` returns, each call in a thread, and never streams.

    A call that raises `UnreadableInputError` rejects the request; one that returns `FromCutText` has it told.
    """

    def __init__(
        self, call: Callable[[Facts], Any], facts: Facts, threads: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Answer with `call`.

        Args:
            call: takes the inputs of a request.
            facts: for `/status`.
            threads: calls at a time.
            clock: seconds since any moment, by which `stalled_s` is measured.
        """
        self._call = call
        self._facts = facts
        self._progress = Progress(clock)
        self._threads = InferenceThreads(threads, self._progress)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome:  # noqa: ARG002 - it cannot be stopped
        """Answer; what the model raises is raised."""
        if request.response_format.functions:
            return WITHOUT_TOOLS
        if request.stream and request.prefix:
            return Refused("it is no language model, and cannot carry on with a text")
        inputs = dict(request.inputs)
        if request.messages:  # of a chat it reads the last turn
            inputs["text"] = request.messages[-1]["content"]
        try:
            result = await self._threads.run(lambda: self._call(inputs))
        except UnreadableInputError as error:
            return Rejected(str(error), error.field, error.code, elsewhere=error.elsewhere)
        if not isinstance(result, FromCutText):
            return output_to_outcome(result)
        outcome = output_to_outcome(result.result)
        return replace(outcome, dropped=(f"prompt_tokens:{result.cut}",)) if isinstance(outcome, Answered) else outcome

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`."""
        return dict(self._facts)

    def stalled_s(self) -> float:
        """Seconds since a call last began or ended, while at least one is under way; 0 while none is."""
        return self._progress.stalled_s()
