"""Turns the text of a response into UTF-8, where it is written in something else.

    UTF-16, UTF-32           as their first bytes say: a mark, or zeros where ASCII has them
    another one (GBK, …)     as the head names it, unless the first letters beyond ASCII show that it is UTF-8 after all

Many servers name Latin-1 because their framework does, and write UTF-8. Two letters of GBK can look like one of UTF-8,
but hardly like one of three bytes, as all of its Chinese letters are: the charsets of East Asia count where there is
none of those. What fits neither stays as it is, and is read as UTF-8 with U+FFFD in it.
"""

import codecs
import re
from collections.abc import Callable

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_ZEROS = (
    (re.compile(rb"[\t\n\r -~]\0\0\0[\t\n\r -~]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0[\t\n\r -~]\0\0\0[\t\n\r -~]"), "utf-32-be"),
    (re.compile(rb"([\t\n\r -~]\0){4}"), "utf-16-le"),
    (re.compile(rb"(\0[\t\n\r -~]){4}"), "utf-16-be"),
)
_SNIFFED = 8
_EVIDENCE = 64
"""Bytes from the first letter beyond ASCII on that are looked at, or fewer where ASCII follows."""

_WIDER = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "cp950",
}
"""What is read instead: those are the same and more, as browsers know (WHATWG, Encoding)."""

_EAST_ASIAN = frozenset({"gb18030", "cp932", "cp949", "cp950", "big5hkscs", "euc_jp"})
_OTHERS = re.compile(r"(iso8859-\d+|cp125\d|koi8-[ru]|mac-roman)\Z")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_THREE_BYTES = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{2}")


class Transcoder:
    """Gives the bytes of one response in UTF-8."""

    def __init__(self, charset: str | None) -> None:
        """Begin before the first byte; `charset` is the one that the head names."""
        self._charset = _known(charset)
        self._held = b""
        self._is_at_start = True
        self._decode: Callable[[bytes, bool], str] | None = None

    def feed(self, data: bytes, *, is_last: bool) -> bytes:
        """Return the next bytes in UTF-8; what cannot be told yet is held back, some bytes of it."""
        if self._decode is None and not self._is_at_start and not self._charset:
            return data  # the usual case
        if self._decode is None:
            data, self._held = self._held + data, b""
            if self._is_at_start:
                data = self._start(data, is_last=is_last)
            if self._decode is None and self._charset:
                data = self._judge(data, is_last=is_last)
        return data if self._decode is None else self._decode(data, is_last).encode("utf-8", errors="replace")

    def _start(self, data: bytes, *, is_last: bool) -> bytes:
        """Tell UTF-16 and UTF-32 by the first bytes of the response."""
        if not data or (data[0] not in (0, 0xFE, 0xFF) and data[1:2] not in (b"", b"\0")):
            self._is_at_start = not data
            return data
        if len(data) < _SNIFFED and not is_last:
            self._held = data
            return b""
        self._is_at_start = False
        marked = next((name for mark, name in _MARKS if data.startswith(mark)), "")
        if name := marked or next((name for zeros, name in _ZEROS if zeros.match(data)), ""):
            self._decode = codecs.getincrementaldecoder(name)(errors="replace").decode
        return data

    def _judge(self, data: bytes, *, is_last: bool) -> bytes:
        """Tell the charset of the head from UTF-8 by the first letters beyond ASCII."""
        first = _BEYOND_ASCII.search(data)
        if first is None:
            return data
        tail = data[first.start() :]
        if len(tail) < _EVIDENCE and tail[-1] > 0x7F and not is_last:  # noqa: PLR2004 - the last of ASCII
            self._held = tail
            return data[: first.start()]
        name, self._charset = self._charset, ""
        is_certain = _fits(tail, "utf-8") and (name not in _EAST_ASIAN or _THREE_BYTES.search(tail) is not None)
        if not is_certain and _fits(tail, name):
            self._decode = codecs.getincrementaldecoder(name)(errors="replace").decode
        return data


def _known(charset: str | None) -> str:
    """Return the name that a charset has here; empty for UTF-8, and for what is not one of those."""
    try:
        name = codecs.lookup((charset or "utf-8")[:40]).name
    except (LookupError, ValueError):
        return ""
    name = _WIDER.get(name, name)
    return name if name in _EAST_ASIAN or _OTHERS.match(name) else ""


def _fits(data: bytes, name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)().decode(data)
    except UnicodeDecodeError:
        return False
    return True
