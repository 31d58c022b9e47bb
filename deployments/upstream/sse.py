"""Reads server-sent events (WHATWG HTML, section 9.2.6) from a stream of bytes, and the JSON that comes in their place.

What is announced is not relied on. A line that begins with `{` or `[` outside of an event is JSON without a field: a
whole completion, NDJSON, or an error that a proxy has put between the events. It may take several lines. Providers that
leave out the empty line behind an event are read as well.
"""

import re

from msgspec import Struct

from deployments.upstream.decoding import decode_json

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_PADDING = b" \t\x00"
_CLOSING = (b"}", b"]")
_MAX_TRIES = 8
"""Times that the lines of an event are tried for being a whole one; and the bytes of JSON outside of events that are
tried, as a multiple of its size. What is not found to be whole ends with what follows, or with the response."""
_FREE_TRIES_BYTES = 64 << 10


class EventTooLargeError(Exception):
    """An event is larger than its bound."""


class Event(Struct, frozen=True):
    """An event: its data, and its name where it has one."""

    data: str
    name: str = ""


class EventReader:
    """Cuts a stream of bytes into events. Ids and comments are dropped.

    Attributes:
        foreign: lines that are neither fields nor JSON, in a stream that has had no event.
    """

    def __init__(self, max_bytes: int, max_value_bytes: int = 0) -> None:
        """Read events of at most `max_bytes`, and JSON outside of events of at most `max_value_bytes`."""
        self.foreign = 0
        self._max_bytes = max_bytes
        self._max_value_bytes = max_value_bytes or max_bytes
        self._line: list[bytes] = []  # the parts of a line that has no end yet
        self._line_size = 0
        self._held = b""
        self._data: list[bytes] = []
        self._name = b""
        self._size = 0
        self._value: list[bytes] = []
        self._value_size = 0
        self._tried = 0
        self._begun = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes, and return each event that is complete now.

        Raises:
            EventTooLargeError: an event is larger than `max_bytes`.
        """
        if (plain := self._plain(chunk)) is not None:
            return plain
        chunk = self._held + chunk
        if not self._begun and len(chunk) < len(_BYTE_ORDER_MARK):
            self._held = chunk
            return []
        if not self._begun:
            self._begun = True
            chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
        # A CR at the very end may be half a CRLF: wait for what follows.
        self._held = chunk[-1:] if chunk.endswith(b"\r") else b""
        lines = _LINE_END.split(chunk[: len(chunk) - len(self._held)])
        events: list[Event] = []
        rest = lines.pop()
        for line in lines:
            self._read(self._whole_line(line), events)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
        self._check()
        if rest[-1:] in _CLOSING and self._is_in_value() and self._is_complete():
            # It has no line end behind it: nobody is to wait for the end of the response.
            self._value.append(self._whole_line(b""))
            self._end_value(events)
        return events

    def finish(self) -> list[Event]:
        """Return what the stream ended with: an event without an empty line behind it, JSON without its end."""
        events: list[Event] = []
        for line in _LINE_END.split(self._whole_line(self._held)):
            self._read(line, events)
        self._held = b""
        self._end_value(events)
        if self._data:
            events.append(self._take())
        return events

    def _plain(self, chunk: bytes) -> list[Event] | None:
        """Return the events of nearly every chunk: each whole, and one line of data; `None` for any other chunk."""
        if chunk[:6] != b"data: " or chunk[-2:] != b"\n\n" or b"\r" in chunk or len(chunk) > self._max_bytes:
            return None
        if self._held or self._line or self._data or self._value or self._name:
            return None
        lines = chunk[6:-2].split(b"\n\ndata: ")
        if chunk.count(b"\n") != 2 * len(lines):
            return None
        self._begun = True
        return [Event(line.decode("utf-8", errors="replace")) for line in lines]

    def _whole_line(self, end: bytes) -> bytes:
        if not self._line:
            return end
        line = b"".join([*self._line, end])
        self._line, self._line_size = [], 0
        return line

    def _read(self, line: bytes, events: list[Event]) -> None:
        if not self._value and (line[:1] == b"d" or not line or self._data):  # nearly every line
            self._read_field(line, events)
        elif (self._value and not line.startswith(_FIELDS)) or (not self._data and _opens(line)):
            self._read_value(line, events)
        else:
            self._end_value(events)
            self._read_field(line, events)

    def _read_field(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(self._take())
            self._name = b""
            return
        name, colon, value = line.partition(b":")
        if name != b"data":
            name = name.strip(_PADDING).lower()
        if name == b"data":
            # Some providers leave out the empty line behind an event.
            if 0 < len(self._data) < _MAX_TRIES and _is_value(b"\n".join(self._data)):
                events.append(self._take())
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._max_bytes:
                self._check()
        elif name == b"event":
            self._name = value.strip(_PADDING)
        elif self._data and _opens(line) and _is_value(b"\n".join(self._data)):
            events.append(self._take())
            self._read_value(line, events)
        elif name not in {b"", b"id", b"retry"} or (not colon and name):
            self.foreign += 1

    def _read_value(self, line: bytes, events: list[Event]) -> None:
        """Take a line of JSON outside of an event."""
        starts = line[:1] == b"{"
        if self._value and starts and not self._value[0].startswith(b"[") and _is_value(line):
            self._end_value(events)  # what came before has no end: NDJSON with a broken line in it
        self._value.append(line)
        self._value_size += len(line) + 1
        self._check()
        if line.rstrip(_PADDING)[-1:] in _CLOSING and self._is_complete():
            self._end_value(events)

    def _end_value(self, events: list[Event]) -> None:
        if self._value:
            events.append(Event(b"\n".join(self._value).decode("utf-8", errors="replace")))
            self._value, self._value_size, self._tried = [], 0, 0

    def _is_complete(self) -> bool:
        """Return whether the JSON outside of an event is whole; `False` where it was tried too often."""
        size = self._value_size + self._line_size
        if self._tried > _MAX_TRIES * size + _FREE_TRIES_BYTES:
            return False
        self._tried += size
        return _is_value(b"\n".join([*self._value, *([b"".join(self._line)] if self._line else [])]))

    def _take(self) -> Event:
        data = b"\n".join(self._data).decode("utf-8", errors="replace")
        name = self._name.decode("utf-8", errors="replace")[:100] if self._name else ""
        self._data, self._name, self._size = [], b"", 0
        return Event(data, name)

    def _is_in_value(self) -> bool:
        """Return whether the last bytes are a part of JSON outside of an event."""
        return bool(self._value) or (not self._data and bool(self._line) and _opens(self._line[0]))

    def _check(self) -> None:
        """Raise if what is kept is larger than its bound."""
        bound = self._max_value_bytes if self._is_in_value() else self._max_bytes
        if self._size + self._value_size + self._line_size > bound:
            raise EventTooLargeError(f"an event of more than {bound} bytes")


def _opens(line: bytes) -> bool:
    return line[:100].lstrip(_PADDING)[:1] in {b"{", b"["}


def _is_value(data: bytes) -> bool:
    """Return whether `data` is an object or a list in JSON."""
    if data.rstrip()[-1:] not in _CLOSING:
        return False
    try:
        decode_json(data)
    except ValueError:
        return False
    return True
