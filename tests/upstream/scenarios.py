"""What the fault-injecting upstream can do to any request: a scenario per name. Those of streams are in `streamed`."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from tests.upstream.dialects import DIALECTS, Dialect
from tests.upstream.exchange import TEXT, Exchange

Scenario = Callable[[Exchange], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}
"""All of them by their names, which stand in the field `model`."""

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"where":"here"}'}}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    def add(play: Scenario) -> Scenario:
        SCENARIOS[name] = play
        return play

    return add


async def healthy(exchange: Exchange) -> None:
    if not exchange.streams:
        await exchange.completion({"content": "".join(exchange.pieces)})
        return
    await exchange.begin_stream()
    await exchange.says(exchange.pieces)
    await exchange.finish()


SCENARIOS["healthy"] = healthy


@scenario("tells-the-request")
async def tells_the_request(exchange: Exchange) -> None:
    await exchange.completion({"content": json.dumps(exchange.body)})


@scenario("no-echo")
async def no_echo(exchange: Exchange) -> None:
    """A server of text completions that knows no `echo`."""
    exchange.body = {key: value for key, value in exchange.body.items() if key != "echo"}
    await healthy(exchange)


@scenario("thinks-aloud")
async def thinks_aloud(exchange: Exchange) -> None:
    await exchange.completion({"content": "<think>aloud</think>"})


# --- errors by their status --------------------------------------------------------------------------


def with_status(status: int, message: str, code: str = "", param: str = "", **headers: str) -> Scenario:
    async def play(exchange: Exchange) -> None:
        said = message.format(authorization=exchange.headers.get("authorization", ""))
        await exchange.error(status, said, code, param, **headers)

    return play


SCENARIOS |= {
    "status-401": with_status(401, "Incorrect API key provided: {authorization}.", "invalid_api_key"),
    "status-403": with_status(403, "You may not use this model."),
    "status-404": with_status(404, "The model does not exist.", "model_not_found"),
    "status-408": with_status(408, "Request timeout."),
    "status-409": with_status(409, "It is being deployed.", retry_after="0.2"),
    "status-425": with_status(425, "Too early."),
    "status-418": with_status(418, "I am a teapot."),
    "status-429": with_status(429, "Slow down.", "rate_limit_exceeded"),
    "status-429-soon": with_status(429, "Slow down.", "rate_limit_exceeded", retry_after="0.2"),
    "status-429-later": with_status(429, "Come back tomorrow.", "rate_limit_exceeded", retry_after="86400"),
    "status-429-quota": with_status(429, "You have no money left.", "insufficient_quota"),
    "status-500": with_status(500, "Something broke."),
    "status-502": with_status(502, "Bad gateway."),
    "status-503": with_status(503, "Overloaded."),
    "status-503-soon": with_status(503, "Overloaded.", retry_after="0.2"),
    "status-504": with_status(504, "Gateway timeout."),
    "status-529": with_status(529, "Overloaded.", "overloaded_error"),
    "status-400": with_status(400, "temperature has to be 1 with this model.", "unsupported_value", "temperature"),
    "status-422": with_status(422, "Field required.", param="messages"),
    "too-long": with_status(400, "This model's maximum context length is 4096 tokens.", "context_length_exceeded"),
    "against-policy": with_status(400, "Your request was rejected by our safety system.", "content_policy_violation"),
    "redirect": with_status(307, "Go elsewhere.", location="http://127.0.0.1:9/v1/chat/completions"),
}


# --- the errors of providers --------------------------------------------------------------------------


def with_dialect(dialect: Dialect) -> Scenario:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(dialect.content, dialect.status, dialect.content_type)

    return play


SCENARIOS |= {name: with_dialect(dialect) for name, dialect in DIALECTS.items()}


# --- connections -------------------------------------------------------------------------------------


@scenario("closes")
async def closes(exchange: Exchange) -> None:
    exchange.writer.close()


@scenario("resets")
async def resets(exchange: Exchange) -> None:
    exchange.reset()


@scenario("silent")
async def silent(_: Exchange) -> None:
    await asyncio.sleep(3600)


@scenario("head-then-silence")
async def head_then_silence(exchange: Exchange) -> None:
    if exchange.streams:
        await exchange.begin_stream()
    else:
        await exchange.head(content_length="100")
    await asyncio.sleep(3600)


@scenario("no-http")
async def no_http(exchange: Exchange) -> None:
    await exchange.raw(b"220 smtp.example.com ESMTP\r\n")
    exchange.writer.close()


@scenario("endless-headers")
async def endless_headers(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\n")
    number = 0
    while True:
        number += 1
        await exchange.raw(b"x-filler-%d: %s\r\n" % (number, b"x" * 1000))


# --- bodies ------------------------------------------------------------------------------------------


def with_message(finish_reason: str = "stop", **message: object) -> Scenario:
    """A message as a whole, or as a single delta."""

    async def play(exchange: Exchange) -> None:
        if not exchange.streams:
            await exchange.completion(message, finish_reason)
            return
        await exchange.begin_stream()
        await exchange.delta(message)
        await exchange.finish(finish_reason)

    return play


def with_body(body: str, content_type: str = "application/json") -> Scenario:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(body.encode(), 200, content_type)

    return play


SCENARIOS |= {
    "null-content": with_message(content=None),
    "white-space": with_message(content=" \n\u200b"),
    "reasoning-only": with_message(content=None, reasoning_content="Let me think."),
    "filtered": with_message("content_filter", content=None),
    "refuses": with_message(content=None, refusal="I cannot help with that."),
    "cut-short": with_message("length", content="The quick brown"),
    "length-before-content": with_message("length", content=None, reasoning_content="Let me think."),
    "length-in-a-call": with_message(
        "length", content=None, tool_calls=[CALL | {"function": {"name": "look", "arguments": '{"where": "he'}}]
    ),
    "calls-a-tool": with_message("tool_calls", content=None, tool_calls=[CALL]),
    "calls-nothing": with_message("tool_calls", content=None, tool_calls=[{"id": "call_1", "type": "function"}]),
    "empty-body": with_body(""),
    "blank-body": with_body(" \n"),
    "not-json": with_body('{"choices": [{"mess'),
    "html": with_body("<html><body>Our site is down.</body></html>", "text/html"),
    "plain-text": with_body("It works!", "text/plain"),
    "no-choices": with_body('{"object": "chat.completion", "choices": []}'),
    "a-list": with_body("[1, 2]"),
    "error-in-200": with_body('{"error": {"message": "Overloaded.", "type": "overloaded_error"}}'),
}


@scenario("whole-to-a-stream")
async def whole_to_a_stream(exchange: Exchange) -> None:
    await exchange.completion({"content": exchange.answer})


@scenario("huge")
async def huge(exchange: Exchange) -> None:
    """A gigabyte, or as much of it as is read."""
    filler = "x" * (1 << 16)
    if exchange.streams:
        await exchange.begin_stream()
        await exchange.says(["The quick brown"])
    else:
        await exchange.head(content_length=str(1 << 30))
    for _ in range(1 << 14):
        if exchange.streams:
            await exchange.delta({"reasoning_content": filler})
        else:
            await exchange.raw(filler.encode())


@scenario("trickle")
async def trickle(exchange: Exchange) -> None:
    """A byte a second."""
    body = json.dumps({"choices": [{"message": {"content": TEXT}}]})
    await exchange.head(content_type="text/event-stream" if exchange.streams else "application/json")
    for char in body:
        await exchange.raw(char.encode())
        await asyncio.sleep(1.0)
