"""An engine in a process of its own, behind the same protocol as the engines in this process.

OpenVINO's Python binding holds the interpreter lock during a step of the batch. In the replica's own process, its
event loops got one turn for each step, and requests came in one after the other (figures: docs/performance.md). vLLM
keeps its `EngineCore` apart from its API server for the same reason. The process also limits the damage of a crash: the
requests in the engine fail, and the engine is started again.
"""

import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from typing import Any

from deployments.generation import (
    CannotGenerateError,
    Generation,
    Prompt,
    Sampling,
    Tokenization,
    TokenQuery,
    read_to_end,
)
from deployments.generation.engine_process import RESTARTING, EngineProcess
from deployments.generation.grammar import FatalGrammarError, Grammar
from deployments.generation.worker import EngineConfig, GenerateRequest
from deployments.observability import log

_RESTART_S = (0.0, 1.0, 5.0, 30.0)
"""Seconds before each attempt to start an engine again; the last pause repeats."""

_MOST_FATAL = 64


class ProcessGenerator:
    """A generator that another process runs.

    Attributes:
        chat_template: as in `TextGenerator`.
    """

    def __init__(self, name: str, config: EngineConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the process and wait until it is ready.

        Args:
            name: the model's name in log lines.
            config: what the process loads.
            clock: seconds since any moment, by which `stalled_s` is measured.

        Raises:
            CannotLoadError: the engine cannot load the weights. Other errors of loading are raised as they are.
            RuntimeError: the process ended while it was loading.
        """
        self._supervisor = _Supervisor(name, config, clock)
        self._fatal: deque[Grammar] = deque(maxlen=_MOST_FATAL)  # that an engine has failed with, and none gets again
        self.chat_template = self._supervisor.chat_template
        weakref.finalize(self, self._supervisor.close)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`. The process sends the answer in one message."""
        return await read_to_end(self._items(GenerateRequest(prompt, sampling, streamed=False)))

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. A slow reader does not slow the batch down: at most `max_tokens` wait to be read."""
        return self._items(GenerateRequest(prompt, sampling, streamed=True))

    async def tokenization(self, query: TokenQuery) -> Tokenization:
        """See `TextGenerator`."""
        engine = self._supervisor.engine
        if engine is None:
            raise CannotGenerateError(RESTARTING)
        number, items = engine.submit(query)
        try:
            item = await items.get()
        finally:
            engine.cancel(number)
        if isinstance(item, Exception):
            raise item
        if not isinstance(item, Tokenization):
            raise TypeError(f"the engine's process has answered a query with a {type(item).__name__}")
        return item

    def describe(self) -> dict[str, Any]:
        """The engine's facts, requests under way and process id; `restarting` while there is no engine."""
        engine = self._supervisor.engine
        if engine is None or engine.closed:
            return {"engine": "restarting"}
        return {**engine.facts, "active": engine.active, "process": engine.pid}

    def stalled_s(self) -> float:
        """Seconds for which the process has had work and has not said that its engine advances.

        The process says so once a second. While an engine is started again, there is no work.
        """
        engine = self._supervisor.engine
        return 0.0 if engine is None else engine.stalled_s()

    def close(self) -> None:
        """Kill the process; requests under way fail. Garbage collection of the generator does the same."""
        self._supervisor.close()

    async def _items(self, request: GenerateRequest) -> AsyncGenerator[str | Generation, None]:
        engine = self._supervisor.engine
        if engine is None:
            raise CannotGenerateError(RESTARTING)
        if (grammar := request.sampling.grammar) in self._fatal:
            raise FatalGrammarError
        number, items = engine.submit(request)
        try:
            while True:
                item = await items.get()
                if isinstance(item, FatalGrammarError) and grammar and grammar not in self._fatal:
                    self._fatal.append(grammar)
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, Tokenization):
                    raise TypeError("the engine's process has answered a prompt with its tokens")
                yield item
                if isinstance(item, Generation):
                    return
        finally:
            engine.cancel(number)


class _Supervisor:
    """Receives from the engine, and starts a new one whenever it ends, until it is closed.

    Attributes:
        engine: the running engine; `None` while there is none.
        chat_template: that of the first engine; all of them load the same files.
    """

    def __init__(self, name: str, config: EngineConfig, clock: Callable[[], float]) -> None:
        self._name = name
        self._config = config
        self._clock = clock
        self._closed = threading.Event()
        self.engine: EngineProcess | None = None
        self.chat_template = ""
        started: Future[None] = Future()
        threading.Thread(target=self._supervise, args=(started,), name="engine-receive", daemon=True).start()
        started.result()

    def close(self) -> None:
        """Kill the engine and start no other."""
        self._closed.set()
        if engine := self.engine:
            engine.close()

    def _supervise(self, started: "Future[None]") -> None:
        # Every engine is started by this thread: Linux kills a process with the thread that has started it.
        try:
            engine = EngineProcess(self._config, self._clock)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            started.set_exception(error)
            return
        self.engine, self.chat_template = engine, engine.chat_template
        started.set_result(None)
        running: EngineProcess | None = engine
        while running is not None:
            status = running.receive()
            self.engine = None
            if not self._closed.is_set():
                log.engine_ended(self._name, status)
            running = self._restart()

    def _restart(self) -> EngineProcess | None:
        for pause in itertools.chain(_RESTART_S, itertools.repeat(_RESTART_S[-1])):
            if self._closed.wait(pause):
                return None
            try:
                engine = EngineProcess(self._config, self._clock)
            except Exception as error:  # noqa: BLE001 - whatever loading raises, it is tried again
                log.internal_error("engine", self._name, error)
                continue
            self.engine = engine
            if self._closed.is_set():
                engine.close()
            return engine
        raise AssertionError("the pauses never end")
