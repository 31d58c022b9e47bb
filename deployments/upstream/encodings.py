"""Undoes the encoding of a response.

An encoding that was not asked for (gzip, deflate, Zstandard) is undone, whether or not the head names it: the first
bytes tell. A response may be several members of gzip, or frames of Zstandard, behind each other. Brotli has no such
mark, so it is undone where the head names it and the first bytes are no plain text.
"""

import zlib
from typing import Protocol

import brotli
from backports import zstd

_GZIP, _ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_PLAIN = b"{[<:deiDE \t\r\n\xef\x00"
"""First bytes of responses that are not encoded: JSON, HTML, events, white space, a byte order mark."""

_SNIFFED, _SNIFFED_BROTLI = 4, 64


class EncodingError(Exception):
    """The encoding of a response cannot be undone."""


class ExpandedError(Exception):
    """A response is larger than its bound once its encoding is undone."""


class _Decompressor(Protocol):
    """Undoes one encoding."""

    @property
    def eof(self) -> bool:
        """Whether the end of what is encoded was reached."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The bytes behind that end."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return the decoded bytes, about `max_length` at the most. Errors of the library are raised."""
        ...


class _Brotli:
    """Brotli, called like the others; it has no parts behind each other."""

    eof = False
    unused_data = b""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return the decoded bytes, about `max_length` at the most."""
        decoded: bytes = self._decompressor.process(data, output_buffer_limit=max_length)
        return decoded


class Decoder:
    """Undoes the encoding of one response."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        """Decode a response of at most `max_bytes` decoded bytes, whose head names `encoding`; empty for none."""
        self._encoding = encoding.strip().lower()
        self._left = max_bytes
        self._head: bytes | None = b""
        self._tail = b""
        self._decompressor: _Decompressor | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the decoded bytes of the next bytes.

        Raises:
            EncodingError: they are encoded in a way that cannot be undone.
            ExpandedError: there are more than `max_bytes` decoded bytes.
        """
        if self._head == b"" and self._encoding in _NOT_ENCODED and data[:1] not in _BEGINS_ENCODED:
            self._head = None  # the usual case
        if self._head is not None:
            self._head += data
            wanted = _SNIFFED_BROTLI if self._encoding == "br" else _SNIFFED * (self._head[:1] in _BEGINS_ENCODED)
            if data and len(self._head) < wanted:
                return b""
            data, self._head = self._head, None
            self._decompressor = self._sniff(data)
        if self._decompressor is not None and data:
            data = self._decompressed(self._decompressor, data)
        self._left -= len(data)
        if self._left < 0:
            raise ExpandedError
        return data

    def _decompressed(self, decompressor: _Decompressor, data: bytes) -> bytes:
        """Return what `data` is; behind the end of one member of gzip or frame of Zstandard, the next may begin."""
        decoded = bytearray()
        while data and len(decoded) <= self._left:
            if decompressor.eof:
                data, self._tail = self._tail + data, b""
                magic = next((magic for magic in (_GZIP, _ZSTANDARD) if magic.startswith(data[: len(magic)])), b"")
                if len(data) < len(magic):
                    self._tail = data
                    break
                if not magic:  # padding
                    break
                self._decompressor = decompressor = self._sniff(data) or decompressor
            decoded += _decompressed(decompressor, data, self._left + 1 - len(decoded))
            data = decompressor.unused_data if decompressor.eof else b""
        return bytes(decoded)

    def _sniff(self, data: bytes) -> _Decompressor | None:
        if data.startswith(_GZIP):
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        if data.startswith(_ZLIB):
            return zlib.decompressobj()
        if data.startswith(_ZSTANDARD):
            return zstd.ZstdDecompressor()
        if self._encoding == "br" and (data[:1] not in _PLAIN_BYTES or _is_brotli(data)):
            return _Brotli()
        if self._encoding in _NOT_ENCODED or data[:1] in _PLAIN_BYTES:
            return None
        if self._encoding == "deflate":  # without its header, as some servers send it
            return zlib.decompressobj(-zlib.MAX_WBITS)
        raise EncodingError("".join(char for char in self._encoding if char.isprintable())[:30])


def _decompressed(decompressor: _Decompressor, data: bytes, most: int) -> bytes:
    try:
        return decompressor.decompress(data, most)
    except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
        raise EncodingError(str(error)[:100]) from error


def _is_brotli(data: bytes) -> bool:
    """Return whether `data` may be the beginning of Brotli: text is hardly ever."""
    try:
        brotli.Decompressor().process(data, output_buffer_limit=_SNIFFED)
    except brotli.error:
        return False
    return True


_NOT_ENCODED = frozenset({"", "identity"})
_PLAIN_BYTES = frozenset(bytes([byte]) for byte in _PLAIN) | {b""}
_BEGINS_ENCODED = frozenset(magic[:1] for magic in (_GZIP, _ZSTANDARD, *_ZLIB))
