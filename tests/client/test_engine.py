"""`InferenceEngine` on a handle that a test breaks: its caller is answered, whatever becomes of the router."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from deployments import InferenceEngine

WAITS = object()
PAUSE = 10.0
PIECE = {"text": "word", "model": "m", "served_by": "primary"}


class Response:
    """A call through a handle: it gives the items of a script, raises them, waits for a number, or hangs at `WAITS`.

    One that begins with an error was taken by no router: as Serve does, it raises that once more where it is cancelled.
    """

    def __init__(self, script: tuple[Any, ...]) -> None:
        self._items = iter(script)
        self._refused = script[0] if script and isinstance(script[0], Exception) else None
        self._waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._under_way = asyncio.Event()
        self.cancelled = False

    def __await__(self) -> Any:
        return self._next().__await__()

    async def __anext__(self) -> Any:
        return await self._next()

    async def _next(self) -> Any:
        item = next(self._items, None)
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, float):
            await asyncio.sleep(item)
            return await self._next()
        if item is WAITS:
            self._under_way.set()
            return await self._waiting
        return item

    def cancel(self) -> None:
        self.cancelled = True
        if self._refused is not None:
            raise self._refused

    async def go_down(self) -> None:
        """Cancel the call from outside, as Serve does when the router's replica goes down."""
        await self._under_way.wait()
        self._waiting.cancel()

    async def under_way(self) -> None:
        """Return once the call waits."""
        await self._under_way.wait()


class Handle:
    """A handle to the router, each method of which starts the one call that the test has scripted."""

    def __init__(self, *script: Any) -> None:
        self.response = Response(script)

    def options(self, **_: Any) -> "Handle":
        return self

    def __getattr__(self, _: str) -> "Handle":
        return self

    def remote(self, *_: Any) -> Response:
        return self.response


def engine(handle: Handle) -> InferenceEngine:
    attached = InferenceEngine()
    attached._handle = handle
    return attached


async def ask(handle: Handle) -> list[dict[str, Any]]:
    return [await engine(handle).run_inference("m", {"text": "Hello"})]


async def stream(handle: Handle) -> list[dict[str, Any]]:
    return [item async for item in engine(handle).stream_inference({"text": "Hello"}, "m")]


@pytest.mark.parametrize("asking", [ask, stream])
async def test_a_caller_who_cancelled_nothing_is_answered_when_the_router_goes_down_under_the_call(
    asking: Callable[[Handle], Any],
) -> None:
    handle = Handle(WAITS)
    asked = asyncio.ensure_future(asking(handle))

    await handle.response.go_down()
    *_, answer = await asyncio.wait_for(asked, 10)

    assert (answer["served_by"], answer["degraded"]) == ("last_resort", True)
    assert answer["result"].strip()
    assert "the router went down" in answer["reason"]


async def test_a_stream_whose_router_goes_down_ends_with_all_that_was_given_and_the_last_resort() -> None:
    handle = Handle(PIECE, WAITS)
    asked = asyncio.ensure_future(stream(handle))

    await handle.response.go_down()
    first, last_words, answer = await asyncio.wait_for(asked, 10)

    assert (first, last_words["served_by"]) == (PIECE, "last_resort")
    assert answer["result"] == first["text"] + last_words["text"]


async def test_a_status_that_the_router_did_not_live_to_tell_is_an_error_and_no_cancellation() -> None:
    handle = Handle(WAITS)
    asked = asyncio.ensure_future(engine(handle).status())

    await handle.response.go_down()

    with pytest.raises(ConnectionError, match="the router went down"):
        await asyncio.wait_for(asked, 10)


@pytest.mark.parametrize("asking", [ask, stream])
async def test_a_call_that_its_caller_cancels_is_cancelled_at_the_router(asking: Callable[[Handle], Any]) -> None:
    handle = Handle(WAITS)
    asked = asyncio.ensure_future(asking(handle))
    await handle.response.under_way()

    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked

    assert handle.response.cancelled


@pytest.mark.looptime
@pytest.mark.parametrize("asking", [ask, stream])
async def test_a_router_that_stays_silent_is_waited_for_until_the_deadline_and_then_cancelled(
    asking: Callable[[Handle], Any],
) -> None:
    handle = Handle(WAITS)
    began = asyncio.get_running_loop().time()

    *_, answer = await asking(handle)

    assert answer["served_by"] == "last_resort"
    assert asyncio.get_running_loop().time() - began == pytest.approx(32, abs=0.5), "30 s, and 2 s for the way"
    assert handle.response.cancelled


@pytest.mark.looptime
async def test_a_stream_whose_model_reasons_is_waited_for_by_the_routers_signs_of_life() -> None:
    sign = (PAUSE, {**PIECE, "text": ""})
    body = {"result": "wordword", "served_by": "primary"}

    given = await stream(Handle(*sign * 6, PIECE, *sign * 6, PIECE, body))

    assert given == [PIECE, PIECE, body]


@pytest.mark.parametrize("asking", [ask, stream])
async def test_what_serve_raises_is_answered_by_the_last_resort_with_the_reason(
    asking: Callable[[Handle], Any],
) -> None:
    *_, answer = await asking(Handle(RuntimeError("no controller")))

    assert (answer["served_by"], answer["reason"]) == ("last_resort", "RuntimeError: no controller")


async def test_where_vectors_are_asked_for_no_text_of_the_engines_own_stands_in_their_place() -> None:
    asked = engine(Handle(RuntimeError("no controller")))
    body = {"text": "Hello", "task": "feature-extraction"}

    answer = await asked.run_inference("m", body)
    streamed = [item async for item in asked.stream_inference(body, "m")]

    assert (answer["error"]["code"], "result" in answer) == ("vector_unavailable", False)
    assert [(item["error"]["code"], "result" in item, "text" in item) for item in streamed] == [
        ("vector_unavailable", False, False)
    ]


@pytest.mark.parametrize(
    ("form", "refusal"),
    [
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": {"type": "text"}}, False),
        ({"response_format": "nonsense"}, False),
    ],
)
async def test_where_a_form_is_demanded_the_engines_own_last_resort_is_a_refusal(
    form: dict[str, Any], *, refusal: bool
) -> None:
    asked = engine(Handle(RuntimeError("no controller")))

    answer = await asked.run_inference("m", {"text": "Hello", **form})
    *_, streamed = [item async for item in asked.stream_inference({"text": "Hello", **form}, "m")]

    assert (answer.get("refusal", False), streamed.get("refusal", False)) == (refusal, refusal)


class SpitefulError(Exception):
    """Has no message that can be read."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Spiteful(Mapping[str, Any]):
    """Raises whatever is asked of it, and so does what it raises."""

    def __getitem__(self, _: str) -> Any:
        raise SpitefulError

    __iter__ = __len__ = __getitem__  # type: ignore[assignment]
    __bool__ = get = __contains__ = keys = items = values = __getitem__  # type: ignore[assignment]


LOOP: dict[str, Any] = {}
LOOP["text"] = LOOP
ANY_CONTENT: tuple[Any, ...] = (
    *(None, 5, "text", b"\xff", [], object(), {1: 2}, {"text": {"x"}}, {"text": "\ud800"}, LOOP, Spiteful(), print),
    *({"text": "x", "timeout": timeout} for timeout in (10**400, -1, float("nan"), True, "soon", [], object())),
    *({"text": "x", "response_format": form} for form in (object(), {"type": object()}, {"json_schema": 5}, [5])),
    *(
        {"text": "x", "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
        for schema in ({"$ref": "#/default", "default": {"allOf": 5}}, {"const": object()}, object(), Spiteful())
    ),
    {"text": "x", "tools": [object()], "tool_choice": object()},
)


@pytest.mark.parametrize("content", ANY_CONTENT, ids=lambda content: type(content).__name__)
async def test_nothing_is_raised_for_content_of_any_kind(content: Any) -> None:
    for asking in (engine(Handle(*[RuntimeError("down")] * 99)), engine(Handle(*[{"result": "Hi"}] * 99))):
        model: Any
        for model in ("m", None, object(), np.array([1, 2]), Spiteful()):
            whole = await asking.execute_inference(content, model)
            *_, last = [item async for item in asking.stream_inference(content, model)]
            await asking._run_backup_inference(content)
            assert whole["result"]
            assert last["result"]


async def test_what_the_router_answers_is_passed_on() -> None:
    body = {"result": "Hello to you", "served_by": "primary"}

    assert await ask(Handle(body)) == [body]
    assert await stream(Handle(PIECE, body)) == [PIECE, body]
