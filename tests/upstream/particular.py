"""Remotes that are particular about what they take, and that say when to come back: the faulty upstream's scenarios."""

import json

from tests.upstream.exchange import Exchange
from tests.upstream.scenarios import SCENARIOS, Scenario, healthy, scenario, with_status


def refuses_field(name: str, message: str) -> Scenario:
    """A remote that answers properly unless the body has the field `name`."""

    async def play(exchange: Exchange) -> None:
        if name in exchange.body:
            await exchange.error(400, message, "unsupported_parameter", name)
        else:
            await healthy(exchange)

    return play


def refuses_prefill(status: int, message: str) -> Scenario:
    """A remote that takes no trailing assistant turn."""

    async def play(exchange: Exchange) -> None:
        if exchange.body["messages"][-1]["role"] == "assistant":
            await exchange.error(status, message)
        else:
            await healthy(exchange)

    return play


def refuses_reasoning(message: str) -> Scenario:
    """A remote that takes no reasoning of earlier turns."""

    async def play(exchange: Exchange) -> None:
        if any("reasoning_content" in turn for turn in exchange.body["messages"]):
            await exchange.error(400, message)
        else:
            await healthy(exchange)

    return play


SCENARIOS |= {
    "no-reasoning": refuses_reasoning("'messages.1' : property 'reasoning_content' is unsupported"),
    "no-stream-options": refuses_field("stream_options", "Unknown parameter: 'stream_options'."),
    "no-max-tokens": refuses_field(
        "max_tokens",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    ),
    "no-continue-fields": refuses_field("continue_final_message", "Extra inputs are not permitted"),
    "no-prefill": refuses_prefill(400, "This model does not support assistant message prefill."),
    "no-prefill-unexplained": refuses_prefill(400, ""),
    "no-prefill-breaks": refuses_prefill(500, "Assistant response prefill is incompatible with enable_thinking."),
}


@scenario("repeats-when-asked-to-go-on")
async def repeats_when_asked_to_go_on(exchange: Exchange) -> None:
    """A chat model that does as it is told: it says its last words again, and goes on."""
    if not exchange.asks_to_go_on:
        await healthy(exchange)
        return
    anchor = str(exchange.body["messages"][-1]["content"]).rpartition("\n\n")[2]
    await exchange.begin_stream()
    await exchange.says([anchor, *exchange.pieces])
    await exchange.finish()


@scenario("withheld-after-3")
async def withheld_after_3(exchange: Exchange) -> None:
    """The filter strikes in the middle, and tells so by an error."""
    error = {"error": {"message": "The response was filtered.", "code": "content_filter"}}
    if not exchange.streams:
        await exchange.whole(json.dumps(error).encode())
        return
    await exchange.begin_stream()
    await exchange.says(exchange.pieces[:3])
    await exchange.event(json.dumps(error))
    await exchange.raw(b"0\r\n\r\n")


@scenario("last-resort-of-ours")
async def last_resort_of_ours(exchange: Exchange) -> None:
    """A service of ours that had no answer."""
    message = {"role": "assistant", "content": "I am sorry: none of our models can answer just now."}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    await exchange.whole(json.dumps(body).encode(), x_neverblank_served_by="last_resort", retry_after="7")


@scenario("closes-when-idle")
async def closes_when_idle(exchange: Exchange) -> None:
    """A proper answer; the connection is closed as soon as it is used again."""
    await healthy(exchange)
    exchange.ends_when_idle = True


@scenario("dies-when-idle")
async def dies_when_idle(exchange: Exchange) -> None:
    """One proper answer; from then on every connection is closed without a response."""
    if exchange.number > 1:
        exchange.writer.close()
        return
    await healthy(exchange)
    exchange.ends_when_idle = True


@scenario("cut-head-when-used-again")
async def cut_head_when_used_again(exchange: Exchange) -> None:
    """One proper answer, then one that is cut in its head."""
    if exchange.number == 1:
        await healthy(exchange)
        return
    await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
    exchange.writer.close()


def waits(status: int, message: str, **headers: str) -> Scenario:
    return with_status(status, message, "rate_limit_exceeded", **headers)


SCENARIOS |= {
    "wait-20-s": waits(429, "Slow down.", retry_after="20"),
    "wait-in-words": waits(429, "Rate limit reached. Please try again in 20s."),
    "wait-until-reset": waits(429, "Slow down.", x_ratelimit_reset_tokens="20s", x_ratelimit_remaining_tokens="0"),
    "limited-in-200-for-20-s": with_status(200, "Slow down, the rate limit is reached.", retry_after="20"),
    "busy-20-s": with_status(503, "Overloaded.", retry_after="20"),
}
