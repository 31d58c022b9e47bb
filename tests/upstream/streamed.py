"""What the fault-injecting upstream can do to a stream. Where none is asked for, these scenarios answer properly."""

import asyncio
import json

from tests.upstream.exchange import TEXT, Exchange
from tests.upstream.scenarios import SCENARIOS, Scenario, healthy, scenario, with_status


def after_3(rest: Scenario) -> Scenario:
    """Three pieces, and then `rest`; a proper answer where no stream is asked for."""

    async def play(exchange: Exchange) -> None:
        if not exchange.streams:
            await healthy(exchange)
            return
        await exchange.begin_stream()
        await exchange.says(exchange.pieces[:3])
        await rest(exchange)

    return play


@scenario("cut-after-3")
@after_3
async def cut_after_3(exchange: Exchange) -> None:
    exchange.writer.close()


@scenario("reasons-first")
async def reasons_first(exchange: Exchange) -> None:
    """Asked for a stream, it reasons before it says anything."""
    if not exchange.streams:
        await healthy(exchange)
        return
    await exchange.begin_stream()
    await exchange.delta({"reasoning_content": "Let me think."})
    await exchange.says(exchange.pieces)
    await exchange.finish()


@scenario("cut-body")
async def cut_body(exchange: Exchange) -> None:
    if exchange.streams:
        await cut_after_3(exchange)
        return
    await exchange.head(content_length="1000")
    await exchange.raw(b'{"choices": [{"message": {"content": "The quick')
    exchange.writer.close()


@scenario("reset-after-3")
@after_3
async def reset_after_3(exchange: Exchange) -> None:
    await asyncio.sleep(0.05)  # a reset throws away what has not been sent
    exchange.reset()


@scenario("stall-after-3")
@after_3
async def stall_after_3(_: Exchange) -> None:
    await asyncio.sleep(3600)


@scenario("error-after-3")
@after_3
async def error_after_3(exchange: Exchange) -> None:
    await exchange.event('{"error": {"message": "The engine died.", "type": "server_error", "code": 500}}')
    await exchange.raw(b"0\r\n\r\n")


@scenario("no-finish-after-3")
@after_3
async def no_finish_after_3(exchange: Exchange) -> None:
    await exchange.event("[DONE]")
    await exchange.raw(b"0\r\n\r\n")


@scenario("filtered-after-3")
@after_3
async def filtered_after_3(exchange: Exchange) -> None:
    await exchange.finish("content_filter")


@scenario("garbage-after-3")
@after_3
async def garbage_after_3(exchange: Exchange) -> None:
    await exchange.event('{"choices": [{"del')
    await exchange.says(exchange.pieces[3:])
    await exchange.finish()


@scenario("garbage-for-ever")
@after_3
async def garbage_for_ever(exchange: Exchange) -> None:
    while True:
        await exchange.event("{{{")


@scenario("huge-event-after-3")
@after_3
async def huge_event_after_3(exchange: Exchange) -> None:
    """One event of 2 MiB, in parts; what would come behind it is fine."""
    await exchange.text('data: {"choices": [], "filler": "')
    for _ in range(1 << 5):
        await exchange.text("x" * (1 << 16))
    await exchange.text('"}\n\n')
    await exchange.says(exchange.pieces[3:])
    await exchange.finish()


@scenario("trickle-after-3")
@after_3
async def trickle_after_3(exchange: Exchange) -> None:
    for char in json.dumps({"choices": [{"delta": {"content": " brown"}}]}):
        await exchange.text(char)
        await asyncio.sleep(1.0)


@scenario("no-deltas")
async def no_deltas(exchange: Exchange) -> None:
    if not exchange.streams:
        await healthy(exchange)
        return
    await exchange.begin_stream()
    await exchange.finish()


@scenario("no-done")
async def no_done(exchange: Exchange) -> None:
    if not exchange.streams:
        await healthy(exchange)
        return
    await exchange.begin_stream()
    await exchange.says(exchange.pieces)
    await exchange.finish(done=False)


@scenario("hangs-when-done")
async def hangs_when_done(exchange: Exchange) -> None:
    if not exchange.streams:
        await healthy(exchange)
        return
    await exchange.begin_stream()
    await exchange.says(exchange.pieces)
    await exchange.delta({}, "stop")
    await asyncio.sleep(3600)


@scenario("keep-alive-comments")
async def keep_alive_comments(exchange: Exchange) -> None:
    if not exchange.streams:
        await healthy(exchange)
        return
    await exchange.begin_stream()
    for piece in exchange.pieces:
        await exchange.text(": still here\r\n\r\n")
        await exchange.delta({"content": piece})
    await exchange.finish()


# --- continuations -----------------------------------------------------------------------------------


def breaks_then(carry_on: Scenario, pieces: int = 3) -> Scenario:
    """A stream that is cut after so many pieces; asked to carry on, it does what `carry_on` says."""

    async def play(exchange: Exchange) -> None:
        if exchange.prefix:
            await carry_on(exchange)
        elif not exchange.streams:
            await healthy(exchange)
        else:
            await exchange.begin_stream()
            await exchange.says(exchange.pieces[:pieces])
            exchange.writer.close()

    return play


async def _starts_over(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.says([TEXT[:40], " then it all went differently."])
    await exchange.finish()


async def _says_the_end_again(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.says([exchange.prefix[-13:], *exchange.pieces])
    await exchange.finish()


SCENARIOS |= {
    "resumes": breaks_then(healthy),
    "starts-over": breaks_then(_starts_over, pieces=12),
    "overlaps": breaks_then(_says_the_end_again),
    "refuses-prefixes": breaks_then(with_status(400, "The last message must be from the user.", param="messages")),
}
