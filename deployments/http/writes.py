"""Joins the head of a response and its first bytes in one write.

uvicorn writes the two one by one. Each write is a system call that wakes the reader at the other end (HAProxy), which
costs a router more than encoding the answer. One write wakes the reader once.
"""

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "


class JoinedWrites:
    """A transport that holds back the head of a response until the next write, at most until the loop's next turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to `transport`; all other methods are those of `transport`."""
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._head = b""
        # uvicorn uses these for each request. Attributes are faster: `__getattr__` runs only after an AttributeError.
        self.is_closing = transport.is_closing
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write `data`, together with the head that is held back; hold `data` back if it is a head."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            self._call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Write the head that is held back, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)
