"""The fault-injecting upstream as a server that a replica starts: its model's name says what goes wrong."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from deployments.policy.outcome import Outcome, StreamItem
from deployments.request import InferenceRequest
from deployments.servers.model import ServerModel
from deployments.servers.supervision import ServerSupervisor
from deployments.settings import ServerSpec
from tests.fakes import a_request, read_stream, read_whole

COMMAND = ("{python}", "-m", "tests.upstream.faulty", "--port", "{port}")
BUDGET_S = 20.0
PAUSES = (0.0, 0.05, 0.1)


def a_spec(scenario: str = "healthy", *arguments: str, **more: Any) -> ServerSpec:
    fields = {
        "format": "server",
        "id": "standin",
        "engine": "command",
        "command": COMMAND,
        "python": sys.executable,
        "served_name": scenario,
        "arguments": arguments,
        "load_timeout_seconds": 60,
        **more,
    }
    return ServerSpec.model_validate(fields)


@contextmanager
def supervised(spec: ServerSpec, cache: Path, **more: Any) -> Iterator[ServerSupervisor]:
    supervisor = ServerSupervisor(spec, cache, pauses=PAUSES, **more)
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.close()


@asynccontextmanager
async def served(
    spec: ServerSpec, cache: Path, supervisor: ServerSupervisor | None = None, *, hold_s: float = 0.0
) -> AsyncIterator[tuple[ServerModel, ServerSupervisor]]:
    """The model of `spec`, over a server of its own unless it is given one."""
    with nullcontext(supervisor) if supervisor is not None else supervised(spec, cache) as running:
        model = ServerModel(spec, running, hold_s=hold_s)
        try:
            yield model, running
        finally:
            await model.aclose()


async def ask(model: ServerModel, request: InferenceRequest | None = None, budget_s: float = BUDGET_S) -> Outcome:
    return await read_whole(model, request or a_request(), budget_s)


async def ask_for_a_stream(model: ServerModel) -> list[StreamItem]:
    return await read_stream(model, a_request(), BUDGET_S)
