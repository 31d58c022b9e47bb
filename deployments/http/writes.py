"""The head of a response and what follows it, in one write.

uvicorn writes them one by one. Each write is a system call that wakes whoever reads at the other end, HAProxy, which
costs a router more than making the answer's JSON. Joined, they wake it once.
"""

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "


class JoinedWrites:
    """A transport that keeps the head of a response for what follows it, until the event loop's turn is over."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to `transport`, which does everything else itself."""
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._head = b""
        # What uvicorn looks at for each request, at hand: `__getattr__` is asked only after an error has been made.
        self.is_closing = transport.is_closing
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write `data`, behind the head where there is one."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            self._call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Write what is kept, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)
