"""Beside hostile requests, in real time and with real threads: what those cost everybody else.

Nothing here is held to seconds, which a machine may take any number of: a wait is compared with the time that one check
at the bound of its steps takes on the same machine, in the same minute.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from deployments.execution.attempt import Begun
from deployments.execution.offered_tools import fault_of_calls, tool_names
from deployments.execution.structured_output import MAX_SLOW, conform
from deployments.http.asgi import build_asgi
from deployments.policy.outcome import Answered, Failed, Outcome, Refused
from deployments.request import InferenceRequest
from deployments.request.schema import MAX_SUBSCHEMAS
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.execution.test_structured_output import TWICE, nested, wanting
from tests.http.test_fuzz import Replica, an_ask
from tests.http.wire import CHAT
from tests.serving import OWN, FakeCluster, application
from tests.simulation.client import Exchange, exchange

pytestmark = pytest.mark.no_cover
"""Coverage makes every check take twice as long; tests/execution measures them."""

HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "a megabyte of brackets": ("[" + "[]," * 349_000 + "[]]", {"type": "array", "title": "a"}),
    "as many values as are checked": ("[" + "[]," * 49_000 + "[]]", {"type": "array", "items": {"type": "array"}}),
    "twice as much with each level": (json.dumps(nested(30)), TWICE),
    "too deep": ("[" * 1000 + "]" * 1000, {"type": "array"}),
    "a long text, and a pattern of many states": (json.dumps("01101" * 200_000), {"pattern": "[01]*1[01]{900}x"}),
}
"""What models answer to the hostile, and the schema that it is held to."""

AT_ONCE = 12
PLAIN = json.dumps({"text": "Hello", "timeout": 60}).encode()
FORM = json.dumps(
    CHAT
    | {"timeout": 60, "messages": [{"role": "user", "content": "form"}]}
    | {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"required": ["name"]}}}}
).encode()


@dataclass(slots=True)
class Scripted(Replica):
    """A model that answers with what the text of the request names."""

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Any = None) -> Outcome | Begun:
        said = request.messages[-1]["content"] if request.messages else request.text
        if said == "form":
            return Answered('{"name": "Ann"}')
        if request.response_format.tools:  # checked as `upstream` and `formats` do
            calls = [
                {"function": {"name": name, "arguments": "{}"}} for name in sorted(tool_names(request.response_format))
            ]
            fault = await fault_of_calls(calls, request.response_format)
            return Failed(fault, misfit=True) if fault else Answered(calls, tool_calls=tuple(calls))
        return Answered(HOSTILE[said][0] if said in HOSTILE else "Hello")


@pytest.fixture
async def app() -> AsyncIterator[Any]:
    """The application of a router that has looked at Serve, with one model."""
    known = {OWN: application(OWN), "a": application("a")}
    replicas: Any = {"a": Scripted(), "backup": Scripted()}
    router = Router(FakeCluster(replicas, **known), replicas["backup"], "backup", PolicySettings())
    router.reconfigure({"default_model": "a", "timeout_seconds": 60, "breaker": {"failures": 1000}})
    built = build_asgi(router)
    async with built.router.lifespan_context(built):
        await router._registry.refresh()
        yield built


async def one_check_s(before_s: float = 0.0) -> float:
    """Seconds that a check at the bound of its steps takes here and now, or took before: a machine may slow down."""
    began = time.perf_counter()
    assert isinstance(await conform(Answered(json.dumps(nested(30))), wanting(TWICE)), Refused)
    return max(before_s, time.perf_counter() - began)


async def send_hostile(app: Any, kind: str) -> Exchange:
    schema = HOSTILE[kind][1]
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body: dict[str, Any] = {**CHAT, "messages": [{"role": "user", "content": kind}], "response_format": wanted}
    body |= {"timeout": 60, "tiers": ["primary"]}
    return await exchange(app, an_ask("/v1/chat/completions", json.dumps(body).encode(), []))


WIDE: dict[str, dict[str, Any]] = {
    "as wide as is let in": {"anyOf": [{}] * (MAX_SUBSCHEMAS - 1)},
    "as large as is let in": {"prefixItems": [{}] * 21_000},
}
"""Schemas that take long to read; a title makes each of them a new one."""


async def send_schema(app: Any, kind: str, title: str) -> Exchange:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": WIDE[kind] | {"title": title}}}
    body = json.dumps(CHAT | {"timeout": 60, "response_format": wanted}).encode()
    return await exchange(app, an_ask("/v1/chat/completions", body, []))


async def send_tools(app: Any, kind: str, title: str) -> Exchange:
    """Offer two tools, each with a schema of its own; the model calls both."""
    tools = [
        {"type": "function", "function": {"name": name, "parameters": WIDE[kind] | {"title": f"{name} {title}"}}}
        for name in ("look", "listen")
    ]
    body = json.dumps(CHAT | {"timeout": 60, "tools": tools}).encode()
    return await exchange(app, an_ask("/v1/chat/completions", body, []))


async def longest_wait_s(app: Any, path: str, body: bytes, until: "asyncio.Future[Any]") -> float:
    """Ask again and again until `until` is done; every answer has to be right. The seconds of the slowest."""
    longest = 0.0
    while True:
        began = time.perf_counter()
        done = await exchange(app, an_ask(path, body, []))
        longest = max(longest, time.perf_counter() - began)
        assert done.status == 200
        assert b"Hello" in done.body or b"Ann" in done.body
        if until.done():
            return longest
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_plain_request_does_not_wait_for_what_the_hostile_beside_it_have_checked(app: Any, kind: str) -> None:
    check_s = await one_check_s()
    hostile = asyncio.gather(*[send_hostile(app, kind) for _ in range(AT_ONCE)])

    longest_s = await longest_wait_s(app, "/v1/infer", PLAIN, hostile)

    assert {done.status for done in await hostile} == {200}
    assert longest_s < await one_check_s(check_s)


async def test_a_form_that_is_quick_to_check_does_not_wait_for_the_slow_ones(app: Any) -> None:
    check_s = await one_check_s()
    hostile = asyncio.gather(*[send_hostile(app, "twice as much with each level") for _ in range(AT_ONCE)])

    longest_s = await longest_wait_s(app, "/v1/chat/completions", FORM, hostile)

    assert {done.status for done in await hostile} == {200}
    assert longest_s < await one_check_s(check_s) * MAX_SLOW / 3, (
        "behind all of the others it would wait for each of them"
    )


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize(("send", "at_once"), [(send_schema, AT_ONCE), (send_tools, 4)])
async def test_a_plain_request_does_not_wait_for_the_schemas_of_others_to_be_read(
    app: Any, send: Callable[[Any, str, str], Awaitable[Exchange]], at_once: int, kind: str
) -> None:
    check_s = await one_check_s()
    hostile = asyncio.gather(*[send(app, kind, str(number)) for number in range(at_once)])

    longest_s = await longest_wait_s(app, "/v1/infer", PLAIN, hostile)

    assert {done.status for done in await hostile} <= {200, 400}
    assert longest_s < 1.5 * await one_check_s(check_s), (
        "read on the event loop they hold it up for two to four times as long"
    )
