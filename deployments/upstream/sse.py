"""Reads server-sent events from a stream of bytes (WHATWG HTML, section 9.2.6)."""

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLargeError(Exception):
    """An event is larger than its bound."""


class EventReader:
    """Cuts a stream of bytes into the data of its events. Event names, ids and comments are dropped."""

    def __init__(self, max_bytes: int) -> None:
        """Read events of at most `max_bytes`."""
        self._max_bytes = max_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, chunk: bytes) -> list[str]:
        """Take the next bytes, and return the data of each event that is complete now.

        Raises:
            EventTooLargeError: an event is larger than `max_bytes`.
        """
        if not self._begun and len(self._rest) + len(chunk) < len(_BYTE_ORDER_MARK):
            self._rest += chunk
            return []
        buffer = self._rest + chunk
        if not self._begun:
            self._begun = True
            buffer = buffer.removeprefix(_BYTE_ORDER_MARK)
        # A CR at the very end may be half a CRLF: wait for what follows.
        held = buffer[-1:] if buffer.endswith(b"\r") else b""
        lines = _LINE_END.split(buffer[: len(buffer) - len(held)])
        self._rest = lines.pop() + held
        events = []
        for line in lines:
            if line:
                self._read(line)
            elif self._data:
                events.append(self._take())
        self._check(self._size + len(self._rest))
        return events

    def finish(self) -> list[str]:
        """Return the data of a last event that the stream ended without an empty line; at most one."""
        for line in _LINE_END.split(self._rest):
            self._read(line)
        self._rest = b""
        return [self._take()] if self._data else []

    def _read(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._size += len(value) + 1
            self._check(self._size)

    def _take(self) -> str:
        data = b"\n".join(self._data).decode("utf-8", errors="replace")
        self._data, self._size = [], 0
        return data

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise EventTooLargeError(f"an event of more than {self._max_bytes} bytes")
