"""Bodies of requests that are compressed (`content-encoding`): inflated, and held to the limit of any other body.

Many clients and proxies compress what they send. A few bytes can stand for gigabytes, so no more than the limit is ever
inflated.
"""

import zlib
from collections.abc import Iterator
from typing import Any

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, check_size

ACCEPTED_ENCODINGS = ("gzip", "deflate")

_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_AS_IT_IS = 0
_MOST_MEMBERS = 64
"""Members of gzip behind each other; each is a copy of what follows it, so that thousands would be a lot of work."""

PIECE = 1 << 16
"""Bytes that are inflated at a time."""

_LENGTH_OF_HEADER = 2
_LONGEST_NAME = 40


class Inflater:
    """Inflates a body as it arrives, in pieces that are small, and no more than the limit of any body."""

    def __init__(self, encoding: str, limits: Limits) -> None:
        """Get ready for a body that was compressed as the header `content-encoding` says.

        Raises:
            InvalidRequestError: the encoding is not known here (415).
        """
        self._encoding = encoding.strip()
        self._window = _window_of(self._encoding)
        self._limits = limits
        self._begin = b""
        self._size = 0
        self._members = 0
        self._member: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what `data`, the next part of the body, is inflated to, in pieces of at most `PIECE` bytes.

        Raises:
            InvalidRequestError: the body is too large (413), or it is damaged (400).
        """
        if self._window == _AS_IT_IS:
            yield data
            return
        for place in range(0, len(data), PIECE):  # what is left of a part is copied for each piece of it
            yield from self._inflate(data[place : place + PIECE])

    def end(self) -> None:
        """Note that nothing more comes.

        Raises:
            InvalidRequestError: the body was cut off (400).
        """
        if self._window != _AS_IT_IS and (self._member is None or not self._member.eof):
            raise InvalidRequestError(Problem("body", f"is {self._encoding} that is cut off", "an undamaged body"))

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        rest, is_full = self._begin + data, False
        if self._members == 0 and len(rest) < _LENGTH_OF_HEADER and self._window == _ZLIB:
            self._begin = rest
            return
        self._begin = b""
        while rest or is_full:
            if self._member is None or self._member.eof:
                self._member = self._next_member(rest)
            try:
                piece = self._member.decompress(rest, PIECE)
            except zlib.error as error:
                raise InvalidRequestError(Problem("body", f"is no {self._encoding}", "an undamaged body")) from error
            self._size += len(piece)
            check_size(self._size, self._limits)
            if piece:
                yield piece
            is_full = len(piece) == PIECE and not self._member.eof
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def _next_member(self, begin: bytes) -> Any:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise InvalidRequestError(Problem("body", f"has more than {_MOST_MEMBERS} parts of gzip", "one"))
        is_bare = self._window == _ZLIB and not _has_zlib_header(begin)
        return zlib.decompressobj(_BARE if is_bare else self._window)


def inflate(body: bytes, encoding: str, limits: Limits) -> bytes:
    """Return `body` as it was before it was compressed as the header `content-encoding` says.

    Raises:
        InvalidRequestError: as those of `Inflater`.
    """
    inflater = Inflater(encoding, limits)
    whole = b"".join(inflater.feed(body))
    inflater.end()
    return whole


def _window_of(encoding: str) -> int:
    """Return zlib's number of the format of an encoding; `_AS_IT_IS` where the body is not compressed."""
    match encoding.lower():
        case "" | "identity":
            return _AS_IT_IS
        case "gzip" | "x-gzip":
            return _GZIP
        case "deflate":  # with zlib's header; some send it without
            return _ZLIB
        case other:
            named = "".join(letter for letter in other if letter.isprintable())[:_LONGEST_NAME]
            accepted = ", ".join(ACCEPTED_ENCODINGS)
            problem = Problem(
                "content-encoding", f"is {named}, which is not known here", f"{accepted}, or none", status=415,
                headers={"accept-encoding": accepted},
            )  # fmt: skip
            raise InvalidRequestError(problem)


def _has_zlib_header(body: bytes) -> bool:
    """Return whether `body` begins with zlib's header, by RFC 1950: the method, and two bytes that 31 divides."""
    begin = body[:_LENGTH_OF_HEADER]
    return (
        len(begin) == _LENGTH_OF_HEADER and begin[0] & 0x0F == zlib.DEFLATED and int.from_bytes(begin, "big") % 31 == 0
    )
