"""Bodies of requests that are compressed (`content-encoding`): inflated, and held to the limit of any other body.

Many clients and proxies compress what they send. A few bytes can stand for gigabytes, so no more than the limit is ever
inflated.
"""

import zlib

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, check_size

ACCEPTED_ENCODINGS = ("gzip", "deflate")

_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_MOST_MEMBERS = 64
"""Members of gzip behind each other; each is a copy of what follows it, so that thousands would be a lot of work."""

_LONGEST_NAME = 40


def inflate(body: bytes, encoding: str, limits: Limits) -> bytes:
    """Return `body` as it was before it was compressed as the header `content-encoding` says.

    Raises:
        InvalidRequestError: the encoding is not known here (415), the body is too large (413), or it is damaged (400).
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _inflated(body, _GZIP, limits, encoding)
        case "deflate":  # with zlib's header; some send it without
            return _inflated(body, _ZLIB if _has_zlib_header(body) else _BARE, limits, encoding)
        case other:
            named = "".join(letter for letter in other if letter.isprintable())[:_LONGEST_NAME]
            accepted = ", ".join(ACCEPTED_ENCODINGS)
            problem = Problem(
                "content-encoding", f"is {named}, which is not known here", f"{accepted}, or none", status=415,
                headers={"accept-encoding": accepted},
            )  # fmt: skip
            raise InvalidRequestError(problem)


def _inflated(body: bytes, window: int, limits: Limits, encoding: str) -> bytes:
    whole, rest = bytearray(), body
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(window)
        try:
            whole += member.decompress(rest, limits.max_bytes + 1 - len(whole))
        except zlib.error as error:
            raise InvalidRequestError(Problem("body", f"is no {encoding.strip()}", "an undamaged body")) from error
        check_size(len(whole), limits)
        if not member.eof:
            raise InvalidRequestError(Problem("body", f"is {encoding.strip()} that is cut off", "an undamaged body"))
        rest = member.unused_data
        if not rest:
            return bytes(whole)
    raise InvalidRequestError(Problem("body", f"has more than {_MOST_MEMBERS} parts of gzip", "one"))


def _has_zlib_header(body: bytes) -> bool:
    """Return whether `body` begins with zlib's header, by RFC 1950: the method, and two bytes that 31 divides."""
    begin = body[:2]
    return (
        len(begin) == len(b"\x78\x9c") and begin[0] & 0x0F == zlib.DEFLATED and int.from_bytes(begin, "big") % 31 == 0
    )
