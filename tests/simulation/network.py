"""Scripted upstreams, byte by byte: the response that a connection gives is one of these, and no socket is opened."""

import asyncio
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp.client_reqrep import ConnectionKey

from deployments.policy.blank import is_blank
from deployments.policy.outcome import Answered, Blank, Failed, Finished, Refused, Rejected, TimedOut
from deployments.request.inference import ResponseFormat
from deployments.upstream.continuation import ask_to_go_on
from tests.simulation.dialects import as_event, speak
from tests.simulation.record import Call, Record
from tests.simulation.script import Life, draw_beats, draw_play
from tests.streamers import Beat

_KEY = ConnectionKey("upstream.example", 443, True, True, None, None, None)
_ENDS = {"deadline": "length"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that come, or what is raised in their place, `after` seconds."""

    item: bytes | BaseException
    after: float = 0.0


class Response:
    """What `aiohttp.ClientResponse` is to its reader: a head, and bytes that come when they come."""

    def __init__(
        self, status: int, content_type: str, headers: dict[str, str], parts: list[Chunk], call: Call, end: str = ""
    ) -> None:
        """Give `parts`, one by one; behind the last of them the call has come to its `end`."""
        self.status = status
        self.content_type, _, parameters = content_type.partition(";")
        self.charset = parameters.partition("charset=")[2] or None
        self.headers = headers
        self.content = self
        self._parts = list(parts)
        self._call = call
        self._end = end or call.outcome

    async def readany(self) -> bytes:
        """The next bytes; empty at the end."""
        if not self._parts:
            return b""
        chunk = self._parts.pop(0)
        await _pause(chunk.after)
        if not self._parts:
            self._call.end(self._end)
        if isinstance(chunk.item, BaseException):
            raise chunk.item
        self._call.moments.append(asyncio.get_running_loop().time())
        return chunk.item

    def at_eof(self) -> bool:
        """Whether all has been read."""
        return not self._parts

    def close(self) -> None:
        """Its reader needs no more."""
        self._call.end("closed")


@dataclass(slots=True)
class Network:
    """All upstreams of a world, by the names of their models."""

    lives: dict[str, Life]
    record: Record
    open: int = field(default=0)

    async def begin(self, model: str, body: bytes) -> Response:
        """What `Connection.begin` gives for `body`."""
        life, data = self.lives[model], orjson.loads(body)
        turns = data["messages"]
        prefix = _to_go_on_with(turns)
        streamed = bool(data.get("stream"))
        asked = str([turn.get("content") for turn in turns])
        call = self.record.begin(model, asked, streamed=streamed, prefix=prefix)
        wanted = ResponseFormat(
            data.get("response_format", {}), tuple(data.get("tools", ())), data.get("tool_choice", "")
        )
        now = asyncio.get_running_loop().time()
        try:
            if streamed:
                return await _streamed(draw_beats(life, now, call.number, wanted), life.rng, call)
            play = draw_play(life, now, call.number, wanted)
            await _pause(play.after)
            return _whole(play.then, life.rng, call)
        except asyncio.CancelledError:
            call.end("cancelled")
            raise


def _to_go_on_with(turns: Sequence[Mapping[str, Any]]) -> str:
    """The text to carry on with: of a trailing assistant turn, or of one behind which a turn asks for that."""
    if turns[-1]["role"] == "assistant":
        return str(turns[-1]["content"])
    before = turns[-2]["content"] if len(turns) > 1 else ""
    return str(before) if turns[-1] == ask_to_go_on(str(before)) else ""


async def _pause(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.Event().wait()
    elif seconds:
        await asyncio.sleep(seconds)


def _whole(then: Any, rng: random.Random, call: Call) -> Response:
    """A whole outcome as a response."""
    call.end(then if not isinstance(then, BaseException) else "failed")
    why = f"c{call.number}c"
    match then:
        case Answered(finish_reason="content_filter"):
            return _json(200, {"error": {"message": then.result, "code": "content_filter"}}, call)
        case Answered():
            content = then.result if isinstance(then.result, str) else None if then.tool_calls else str(then.result)
            message = {"role": "assistant", "content": content, "tool_calls": list(then.tool_calls) or None}
            usage = then.usage.to_json() if then.usage else None
            said, reason = speak(message, _ENDS.get(then.finish_reason, then.finish_reason), rng)
            choice = {"index": 0, "message": said, "finish_reason": reason}
            body = orjson.dumps({"object": "chat.completion", "choices": [choice], "usage": usage})
            cuts = [Chunk(part) for part in _cut(body, rng)]
            if rng.random() < 0.05:
                call.outcome, call.transient = "failed", True
                cuts = [*cuts[: len(cuts) // 2], Chunk(aiohttp.ClientPayloadError("cut"))]
            return Response(200, "application/json", {}, cuts, call)
        case Blank():
            blank: list[Any] = [{"role": "assistant", "content": " "}, {"content": None, "reasoning": "hm"}]
            message = rng.choice(blank)
            return _json(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}, call)
        case Failed(transient=True, retry_after_s=wait_s):
            if wait_s == 0.0 and rng.random() < 0.4:
                raise rng.choice(_TRANSPORT)()  # noqa: RSE102 - it makes the error
            return _error(rng.choice((500, 502, 503, 529)), why, wait_s, call, html=rng.random() < 0.2)
        case Failed():
            return rng.choice(
                (
                    lambda: _error(rng.choice((401, 403, 404, 418)), why, 0.0, call),
                    lambda: Response(200, "text/html", {}, [Chunk(b"<p>welcome")], call),
                    lambda: _json(200, {"choices": []}, call),
                )
            )()
        case Refused(retry_after_s=wait_s, soon=False):
            call.transient = True  # a 429 always is
            return _error(429, why, wait_s, call)
        case Refused():
            call.transient = True
            return _error(429, why, 0.0, call)
        case Rejected():
            return _error(400, why, 0.0, call)
        case TimedOut():
            raise TimeoutError
        case _:
            call.transient = True
            raise aiohttp.ClientOSError("reset")


_TRANSPORT: tuple[Callable[[], BaseException], ...] = (
    aiohttp.ServerDisconnectedError,
    lambda: aiohttp.ClientConnectorError(_KEY, OSError("refused")),
    lambda: aiohttp.ClientOSError("reset"),
)


def _json(status: int, body: Any, call: Call, headers: dict[str, str] | None = None) -> Response:
    return Response(status, "application/json", headers or {}, [Chunk(orjson.dumps(body))], call)


def _error(status: int, why: str, wait_s: float, call: Call, *, html: bool = False) -> Response:
    headers = {"Retry-After": f"{wait_s:g}"} if wait_s else {}
    if html:
        return Response(status, "text/html", headers, [Chunk(b"<p>sorry")], call)
    return _json(status, {"error": {"message": why, "type": "error"}}, call, headers)


def _cut(body: bytes, rng: random.Random) -> list[bytes]:
    cut = rng.randrange(len(body)) if rng.random() < 0.3 else 0
    return [part for part in (body[:cut], body[cut:]) if part]


async def _streamed(beats: list[Beat], rng: random.Random, call: Call) -> Response:
    """A stream as events, some of them malformed, cut where nobody would cut them."""
    first = beats[0].item if beats else ""
    if isinstance(first, (Failed, Refused)):
        await _pause(beats[0].after)
        return _whole(first, rng, call)
    parts: list[Chunk] = []
    has_end = False
    end = _end_of(beats)
    for beat in beats:
        if has_end:
            break
        data, has_end = _rendered(beat.item, rng, call)
        if isinstance(data, bytes) and rng.random() < 0.05:
            data = b"data: {malformed\n\n" + data
        cut = rng.randrange(len(data)) if isinstance(data, bytes) and data and rng.random() < 0.2 else 0
        parts += [Chunk(data[:cut], beat.after), Chunk(data[cut:])] if cut else [Chunk(data, beat.after)]
    if not has_end:
        end = rng.choice(("failed", end))
        parts.append(Chunk(b": bye\n\n" if end == "blank" else aiohttp.ClientPayloadError("cut")))
    return Response(200, "text/event-stream", {}, [part for part in parts if part.item != b""], call, end)


def _end_of(beats: list[Beat]) -> str:
    """What a stream comes to that is read to its end."""
    texts = "".join(beat.item for beat in beats if isinstance(beat.item, str))
    end = next((beat.item for beat in beats if not isinstance(beat.item, str)), None)
    if end is not None and not isinstance(end, Finished):
        return "failed"
    if is_blank(texts) and not (end is not None and end.tool_calls):
        return "answered" if end is not None and end.finish_reason == "content_filter" else "blank"
    return "answered" if end is not None else "failed"


def _rendered(item: Any, rng: random.Random, call: Call) -> tuple[Any, bool]:
    """An item of a stream as events, and whether it is the last."""
    match item:
        case "never":
            return b": still there\n\n", False
        case str():
            said = {"content": item} if item else rng.choice(({"reasoning": "hm"}, {"role": "assistant"}))
            said, not_yet = speak(said, None, rng)
            return as_event({"choices": [{"index": 0, "delta": said, "finish_reason": not_yet}]}, rng), False
        case Finished(reason, usage, calls):
            told = [{"index": place, **each} for place, each in enumerate(calls)]
            delta: dict[str, Any] = {"tool_calls": told} if told else {}
            said, word = speak(delta, reason, rng)
            end = as_event({"choices": [{"index": 0, "delta": said, "finish_reason": word}]}, rng)
            if usage is not None:
                end += as_event({"choices": [], "usage": usage.to_json()}, rng)
            return end + (b"data: [DONE]\n\n" if rng.random() < 0.8 else b""), True
        case BaseException():
            return aiohttp.ClientPayloadError("cut"), True
        case _:
            code = 500 if getattr(item, "transient", False) else 418
            return as_event({"error": {"message": f"c{call.number}c", "code": code}}, rng), True
