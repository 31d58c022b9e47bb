"""A model behind an inference server that the replica runs itself."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from deployments.execution.attempt import Begun
from deployments.execution.pulse import Beats
from deployments.observability.chores import Chores
from deployments.policy.deadline import writing_s
from deployments.policy.outcome import NOT_READY, Failed, Finished, Outcome, Refused, StreamItem, StreamPart, TimedOut
from deployments.policy.serving_state import ServingState
from deployments.request import InferenceRequest
from deployments.servers.commands import prefill_of
from deployments.servers.probing import LOOPBACK
from deployments.servers.supervision import RunningServer, ServerSupervisor
from deployments.servers.watch import SilenceWatch
from deployments.settings.remotes import RemoteSpec
from deployments.settings.server_specs import ServerSpec
from deployments.upstream import Upstream
from deployments.upstream.faults import NO_CONNECTION

HOLD_S = 2.0
"""Seconds for which a request waits for a server that is started again. Many are back by then. A replica that refused
at once would have the fewest requests under way of all, and be sent the next ones, too."""

HELD_SHARE = 0.25
"""The most of its time that a request waits so: the rest is for another replica or model."""


class Progressing(Protocol):
    """Takes what tells the progress of a load; see `formats.LoadProgress`."""

    tell: Callable[[], str]
    last_line: Callable[[], str]


class ServerModel:
    """Passes requests on to its server, as they were sent, and reads the answers as those of any upstream.

    Whole answers are streamed from the server, too: so it is seen to be at work, and what was written in time is there
    when the time is over.
    """

    def __init__(self, spec: ServerSpec, supervisor: ServerSupervisor, *, hold_s: float = HOLD_S) -> None:
        """Answer with the server that `supervisor` keeps running; `hold_s` as `HOLD_S`."""
        self._spec = spec
        self._hold_s = hold_s
        self._supervisor = supervisor
        self._called: tuple[RunningServer, Upstream] | None = None
        self._retiring = Chores("server")

    @classmethod
    def load(cls, spec: ServerSpec, cache: Path, progress: Progressing) -> "ServerModel":
        """Start the server of `spec`. Blocks until it is healthy. It ends with the model, at the latest.

        Raises:
            ServerStartError: it ended, or was not healthy in time.
        """
        supervisor = ServerSupervisor(spec, cache)
        progress.tell, progress.last_line = (lambda: supervisor.state), (lambda: supervisor.last_line)
        supervisor.start()
        model = cls(spec, supervisor)
        weakref.finalize(model, supervisor.let_go)
        return model

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Pass `request` on; see `formats.ServedModel`."""
        clock = asyncio.get_running_loop().time
        began = clock()
        if self._supervisor.running is None:
            await self._supervisor.comeback.wait(min(self._hold_s, HELD_SHARE * budget_s))
        running = self._supervisor.running
        if running is None:
            return Refused(NOT_READY + self._supervisor.state, transient=True, soon=True)
        upstream = self._upstream_of(running)
        silence, until = self._supervisor.silence, began + writing_s(budget_s)
        Beats(silence.sign).attach()
        # Where it is to choose the best of several, it cannot stream.
        passed = request if "best_of" in request.passthrough else replace(request, stream=True)
        with silence.waiting():
            begun = await upstream.start(passed, budget_s - (clock() - began))
        if begun == NO_CONNECTION:
            # It has just ended, and its supervisor is about to notice: nothing was asked that could have failed.
            return Refused(f"{NOT_READY}its server takes no connection", transient=True, soon=True)
        if not isinstance(begun, (Failed, TimedOut)):
            silence.sign()
        if not isinstance(begun, Begun):
            return begun
        # A stream is bounded by its reader.
        return Begun(begun.first, _watched(begun, silence, None if request.stream else until), extras=begun.extras)

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`; while no server runs, the state and the reason, too."""
        supervisor, running = self._supervisor, self._supervisor.running
        facts = {
            "format": "server",
            "engine": self._spec.engine,
            "weights": self._spec.model or self._spec.model_name,
            "starts": supervisor.starts,
            "log_file": supervisor.log_file,
        }
        if running is None:
            return {
                **facts,
                "state": ServingState.LOADING,
                "reason": supervisor.state,
                "last_line": supervisor.last_line,
            }
        return {**facts, "process": running.process.pid, "port": running.port.number}

    def stalled_s(self) -> float:
        """Seconds for which there has been no server, where it does not come back; one that is stuck is started again.

        See `supervision`.
        """
        return self._supervisor.lost_s

    async def aclose(self) -> None:
        """Close all connections to the server, which runs on."""
        if self._called is not None:
            await self._called[1].aclose()
        await self._retiring.finish()

    def _upstream_of(self, running: RunningServer) -> Upstream:
        """Return the way to call `running`; the connections to the one before are closed once nobody reads them."""
        before = self._called
        if before is not None and before[0] is running:
            return before[1]
        upstream = Upstream(self._spec.id, _remote(self._spec, running.port.number))
        self._called = running, upstream
        if before is not None:
            self._retiring.start(before[1].retire())
        return upstream


async def _watched(begun: Begun, silence: SilenceWatch, until: float | None) -> AsyncGenerator[StreamItem, None]:
    """Give what follows the first content of `begun`; at `until` it ends as it is, with `deadline`.

    The server is waited for only while the reader reads.
    """
    try:
        while True:
            try:
                with silence.waiting():
                    async with asyncio.timeout_at(until):
                        item = await begun.next()
            except TimeoutError:
                yield Finished("deadline")
                return
            if not isinstance(item, (Failed, TimedOut)):
                silence.sign()
            yield item
            if not isinstance(item, StreamPart):
                return
    finally:
        await begun.aclose()


def _remote(spec: ServerSpec, port: int) -> RemoteSpec:
    """Return the server as the remote model that it is to the reader of upstreams."""
    return RemoteSpec(
        base_url=f"http://{LOOPBACK}:{port}{spec.api}",
        model=spec.model_name,
        prefill=prefill_of(spec),
        max_tokens_field=spec.max_tokens_field,
        completions=spec.completions,
        max_connections=max(256, 2 * spec.max_ongoing_requests),
    )
