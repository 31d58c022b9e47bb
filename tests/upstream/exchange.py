"""One request to the fault-injecting upstream and its response, byte by byte."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.upstream.voices import USAGE, MessagesVoice, ResponsesVoice, Voice

TEXT = "The quick brown fox jumps over the lazy dog and runs away into the dark green wood."
"""What every healthy scenario says; behind a prefix that is its beginning, the rest of it."""

AFTERWARDS = " And that is how it ends."
"""What is said behind any other prefix."""


@dataclass(slots=True)
class Exchange:
    """A request that has been read, and the way to answer it.

    Attributes:
        body: the request's.
        headers: the request's, by their names in lower case.
        target: the request's, with its query.
        writer: for what no method here sends.
        number: 1 for the first request that asked for its scenario.
        ends_when_idle: the connection is closed when it is used again.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    writer: asyncio.StreamWriter
    target: str = "/"
    number: int = 1
    ends_when_idle: bool = False
    _chunked: bool = field(default=False)
    _voice: Voice | None = None

    @property
    def voice(self) -> Voice | None:
        """How to speak in the format that was asked for; `None` for chats and text completions."""
        if self._voice is None and self.target.startswith("/v1/messages"):
            self._voice = MessagesVoice()
        elif self._voice is None and self.target.startswith("/v1/responses"):
            self._voice = ResponsesVoice()
        return self._voice

    @property
    def streams(self) -> bool:
        """A stream was asked for."""
        return bool(self.body.get("stream"))

    @property
    def is_text(self) -> bool:
        """A text completion is asked for."""
        return "prompt" in self.body

    @property
    def prompt(self) -> str:
        """The text of a text completion's prompt; of token ids, each in brackets."""
        prompt = self.body["prompt"]
        return prompt if isinstance(prompt, str) else "".join(f"<{token}>" for token in prompt)

    @property
    def prefix(self) -> str:
        """The beginning of the answer, where the request carries one, or asks in words to go on with one."""
        if self.is_text:
            return self.prompt if TEXT.startswith(self.prompt) else ""
        before, last = ({"role": "user"}, *self._turns)[-2:]
        if self.asks_to_go_on:
            last = before
        return str(last["content"]) if last["role"] == "assistant" else ""

    @property
    def _turns(self) -> Sequence[Mapping[str, Any]]:
        turns: Sequence[Mapping[str, Any]] = self.body.get("messages") or [
            {"role": item["role"], "content": "".join(map(_text_of, item["content"]))}
            for item in self.body["input"]
            if item.get("type", "message") == "message"
        ]
        return turns

    @property
    def asks_to_go_on(self) -> bool:
        """The last turn is a user's that asks to go on with the turn before it."""
        *_, last = self._turns
        return last["role"] == "user" and "exactly where it stops" in str(last["content"])

    @property
    def answer(self) -> str:
        """What a healthy model says: it carries on with the prefix exactly."""
        if TEXT.startswith(self.prefix):
            return TEXT[len(self.prefix) :]
        return AFTERWARDS

    @property
    def pieces(self) -> list[str]:
        """The same, word by word with the space before each."""
        words = self.answer.split(" ")
        pieces = [words[0], *(f" {word}" for word in words[1:])] if words[0] else [f" {word}" for word in words[1:]]
        return [self.prompt, *pieces] if self.body.get("echo") else pieces

    def logprobs(self, pieces: Sequence[str]) -> dict[str, Any] | None:
        """The log probabilities of a text completion's pieces, where they are asked for."""
        if not self.is_text or "logprobs" not in self.body:
            return None
        return {
            "tokens": list(pieces),
            "token_logprobs": [-float(len(piece)) for piece in pieces],
            "top_logprobs": [{piece: -float(len(piece)), "other": -99.0} for piece in pieces],
            "text_offset": [0] * len(pieces),
        }

    async def head(self, status: int = 200, content_type: str = "application/json", **headers: str) -> None:
        """Send the head of a response."""
        lines = [f"HTTP/1.1 {status} Whatever", f"content-type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def whole(
        self, body: bytes, status: int = 200, content_type: str = "application/json", **headers: str
    ) -> None:
        """Send a whole response."""
        await self.head(status, content_type, content_length=str(len(body)), **headers)
        await self.raw(body)

    async def error(self, status: int, message: str, code: str = "", param: str = "", **headers: str) -> None:
        """Send an error in OpenAI's format."""
        if self.voice is not None:
            await self.whole(json.dumps(self.voice.error(status, message, code)).encode(), status, **headers)
            return
        error = {"message": message, "type": "error", "param": param or None, "code": code or None}
        await self.whole(json.dumps({"error": error}).encode(), status, **headers)

    async def completion(self, message: Mapping[str, Any], finish_reason: str = "stop") -> None:
        """Send a whole completion."""
        if self.voice is not None:
            await self.whole(json.dumps(self.voice.whole(message, finish_reason)).encode())
            return
        said: dict[str, Any] = {"message": {"role": "assistant", **message}}
        if self.is_text:
            said = {"text": message["content"], "logprobs": self.logprobs([message["content"]])}
        choice = {"index": 0, **said, "finish_reason": finish_reason}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        await self.whole(json.dumps({**body, "usage": USAGE}).encode())

    async def begin_stream(self) -> None:
        """Send the head of a stream."""
        self._chunked = True
        await self.head(content_type="text/event-stream; charset=utf-8", transfer_encoding="chunked")
        if self.voice is not None:
            await self._speak(self.voice.begin())
            return
        await self.delta({"role": "assistant", "content": ""})

    async def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> None:
        """Send one chunk of a stream."""
        if self.voice is not None:
            await self._speak(self.voice.delta(delta))
            if finish_reason is not None:
                await self._speak(self.voice.end(finish_reason, usage=False))
            return
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        if self.is_text:
            text = delta.get("content", "")
            choice = {"index": 0, "text": text, "logprobs": self.logprobs([text]), "finish_reason": finish_reason}
            choice |= {} if text else {"logprobs": None}
        await self.event(json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}))

    async def says(self, pieces: Sequence[str]) -> None:
        """Send contents."""
        for piece in pieces:
            await self.delta({"content": piece})

    async def finish(self, finish_reason: str = "stop", *, usage: bool = True, done: bool = True) -> None:
        """End a stream properly, or nearly so."""
        if self.voice is not None:
            await self._speak([*self.voice.end(finish_reason, usage=usage), *(self.voice.over() if done else ())])
            await self.raw(b"0\r\n\r\n")
            return
        await self.delta({}, finish_reason)
        if usage:
            await self.event(json.dumps({"id": "c", "choices": [], "usage": USAGE}))
        if done:
            await self.event("[DONE]")
        await self.raw(b"0\r\n\r\n")

    async def _speak(self, events: Sequence[Mapping[str, Any]]) -> None:
        for each in events:
            await self.text(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n")

    async def event(self, data: str) -> None:
        """Send an event."""
        await self.text(f"data: {data}\n\n")

    async def text(self, text: str) -> None:
        """Send anything as part of a stream."""
        encoded = text.encode()
        await self.raw(b"%x\r\n%s\r\n" % (len(encoded), encoded) if self._chunked else encoded)

    async def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Reset the connection."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def _text_of(part: Any) -> str:
    return part if isinstance(part, str) else str(part.get("text", ""))
