"""Loading in the background: a replica is there at once, and is healthy only once its model is loaded.

    Loading ──► Ready
       └──────► LoadFailedError, raised by the health check

Serve counts a replica as running only after its first health check, which waits for the load to end. So a new replica
takes no requests from its ready siblings while it loads. One whose load fails never takes any: Serve ends it, tries
`ray_serve.options.START_ATTEMPTS` times, and leaves the replicas of the version before it where they are.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from deployments.formats import LoadProgress
from deployments.observability import log
from deployments.policy.outcome import Refused
from deployments.policy.serving_state import ServingState
from deployments.ray_serve.errors import LoadFailedError


class Described(Protocol):
    """A loaded model that can say what it is."""

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`, such as the device."""
        ...


_D = TypeVar("_D", bound=Described)


class BackgroundLoad(Generic[_D]):
    """Loads one model in a thread of its own, once."""

    def __init__(
        self, name: str, load: Callable[[], _D], timeout_s: float, progress: LoadProgress | None = None
    ) -> None:
        """Start to load.

        Args:
            name: what log lines call the model.
            load: blocks until the model is there; if it raises, the load has failed.
            timeout_s: a load that takes longer counts as failed, though its thread cannot be stopped.
            progress: says what the load is doing.
        """
        self._name = name
        self._timeout_s = timeout_s
        self._progress = progress or LoadProgress()
        self._future: Future[_D] = Future()
        self._settling = threading.Lock()  # a load that ends as its time runs out ends once
        threading.Thread(target=self._run, args=(load,), name=f"load-{name}", daemon=True).start()

    @property
    def model(self) -> _D | Refused:
        """The model, or the reason why a request cannot be taken."""
        if not self._future.done():
            return Refused(f"not ready: {self._progress.tell()}", soon=True)
        if error := self._future.exception():
            return Refused(f"it could not be loaded: {_reason(error)}")
        return self._future.result()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, with a model or without one."""
        return self._future.done()

    async def ended(self) -> _D:
        """Wait for the model.

        Raises:
            LoadFailedError: it could not be loaded.
        """
        waiting = asyncio.wrap_future(self._future)
        # `model` and `describe` tell the error. asyncio would report it once more, as one that nobody looked at.
        waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.wait([waiting], timeout=self._timeout_s)
        if not self._future.done() and self._fail(TimeoutError(f"no model after {self._timeout_s:g} s")):
            await asyncio.wait([waiting])
        if error := self._future.exception():
            raise LoadFailedError(_reason(error)) from error
        return self._future.result()

    def describe(self) -> dict[str, Any]:
        """`state`, `reason`, and the model's own facts."""
        if not self._future.done():
            said = self._progress.last_line()
            facts = {"last_line": said} if said else {}
            return {"state": ServingState.LOADING, "reason": self._progress.tell(), **facts}
        if error := self._future.exception():
            return {"state": ServingState.FAILED, "reason": _reason(error)}
        return {"state": ServingState.READY, "reason": "", **self._future.result().describe()}

    def _run(self, load: Callable[[], _D]) -> None:
        log.model_loading(self._name)
        started = time.monotonic()
        try:
            model = load()
        except BaseException as error:  # noqa: BLE001 - a model's own code may raise anything, SystemExit too
            self._fail(error)
            return
        with self._settling:
            if not self._future.done():
                log.model_ready(self._name, time.monotonic() - started, **model.describe())
                self._future.set_result(model)

    def _fail(self, error: BaseException) -> bool:
        with self._settling:
            if self._future.done():
                return False
            log.model_failed(self._name, _reason(error), error)
            self._future.set_exception(error)
        return True


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
