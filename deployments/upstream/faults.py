"""Turns every error between a router and an upstream into an outcome.

    no connection    refused, reset, closed before a response      Failed     transient
                     no such host, TLS                             Failed     and an error in the log: for the operator
                     not within the connect timeout                TimedOut
    a response       cut in its middle                             Failed     transient
                     not HTTP, headers beyond their bound          Failed
    a status         429                                           Refused    transient, `retry-after` kept
                     408, 409, 425, 500, 502 to 504, 529           Failed     transient, `retry-after` kept
                     401, 403, 404, a redirect                     Failed     and an error in the log: for the operator
                     400, 413, 415, 422
                         the context is too small                  Refused    others may have a larger one
                         against its content policy                Answered   `finish_reason: content_filter`
                         the request carries a prefix              Refused    the upstream may not take prefixes
                         otherwise                                 Rejected   the caller's fault
                     anything else                                 Failed

An error object in a response of 200, or in a stream, is classified by the status that its codes stand for.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from deployments.policy.outcome import Answered, Failed, Outcome, Refused, Rejected, TimedOut

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)
"""The errors that a call over a pooled connection can raise, cancellation aside."""

_MISCONFIGURED = frozenset({401, 403, 404})
_TRANSIENT = frozenset({408, 409, 425, 500, 502, 503, 504, 529})
_INVALID = frozenset({400, 413, 415, 422})
_TOO_MANY = 429

_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_TOO_LONG_WORDS = (
    "maximum context length",
    "context length exceeded",
    "context window",
    "exceeds the available context",
    "max_model_len",
    "prompt is too long",
    "input is too long",
)
_POLICY_CODES = frozenset({"content_policy_violation", "content_filter", "responsibleaipolicyviolation"})
_STATUS_OF_TYPE = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
    "invalid_request_error": 400,
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error as an upstream reports it.

    Attributes:
        message: the upstream's message; may be empty.
        codes: the `code`, `type` and inner code of the error, in lower case.
        param: the field that the error names; empty where it names none.
        status: the HTTP status, or the one that the codes stand for.
        retry_after_s: seconds after which the upstream wants to be asked again; 0 where it named no time.
    """

    message: str
    codes: frozenset[str]
    param: str
    status: int
    retry_after_s: float = 0.0

    @property
    def is_misconfigured(self) -> bool:
        """Whether only the operator can remove the cause."""
        return self.status in _MISCONFIGURED or 300 <= self.status < 400  # noqa: PLR2004 - redirects


def read_complaint(data: Any, status: int, headers: Mapping[str, str], text: str = "") -> Complaint:
    """Return the error in a response or a stream.

    Args:
        data: the decoded body or event; anything.
        status: the status of the response. With 200, the codes of the error decide; 500 where they are unknown.
        headers: the headers of the response, by their names in lower case.
        text: the body as text, for a body that is not an error object.
    """
    error = data.get("error", data) if isinstance(data, Mapping) else data
    if not isinstance(error, Mapping):
        return Complaint(
            error if isinstance(error, str) else text,
            frozenset(),
            "",
            status if status >= 300 else 500,  # noqa: PLR2004
            retry_after_s(headers),
        )
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, Mapping) else None
    named = [error.get("code"), error.get("type"), inner_code]
    codes = frozenset(str(code).lower() for code in named if isinstance(code, (str, int)))
    if status < 300:  # noqa: PLR2004 - an error within a success
        status = next((_STATUS_OF_TYPE[code] for code in sorted(codes) if code in _STATUS_OF_TYPE), _number(codes))
    message = error.get("message") or error.get("detail") or ""
    param = error.get("param")
    return Complaint(
        message if isinstance(message, str) else str(message),
        codes,
        param if isinstance(param, str) else "",
        status,
        retry_after_s(headers),
    )


def classify_complaint(complaint: Complaint, explanation: str, *, prefilled: bool) -> Outcome:
    """Return the outcome for an error, by the module's table.

    Args:
        complaint: the error.
        explanation: the message of the error, without secrets and bounded in length.
        prefilled: the request carried the beginning of its answer.
    """
    status, wait_s = complaint.status, complaint.retry_after_s
    said = f"it answered {status}" + (f": {explanation}" if explanation else "")
    if status == _TOO_MANY:
        exhausted = "insufficient_quota" in complaint.codes  # waiting does not fill an empty account
        return Refused(said, transient=not exhausted, retry_after_s=wait_s)
    if status in _TRANSIENT:
        return Failed(said, transient=True, retry_after_s=wait_s)
    if complaint.codes & _POLICY_CODES:
        return Answered(explanation or "The model's content policy forbids this.", None, "content_filter")
    if status not in _INVALID:
        return Failed(said)
    lowered = complaint.message.lower()
    if complaint.codes & _TOO_LONG_CODES or any(words in lowered for words in _TOO_LONG_WORDS):
        return Refused(f"the request is too long for it: {explanation}")
    if prefilled:
        return Refused(f"it does not take the beginning of an answer: {explanation}")
    return Rejected(explanation or f"status {status}, without an explanation", complaint.param[:100] or "body")


def classify_transport(error: BaseException, explanation: str) -> tuple[Failed | TimedOut, bool]:
    """Return the outcome for a transport error, and whether only the operator can remove its cause."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Failed(f"its host was not found: {explanation}"), True
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return Failed(f"TLS failed: {explanation}"), True
        case TimeoutError():  # includes the timeouts of aiohttp
            return TimedOut("no connection within its timeout"), False
        case aiohttp.ClientPayloadError():
            return Failed("its response was cut", transient=True), False
        case aiohttp.ServerDisconnectedError():
            return Failed("it closed the connection without a response", transient=True), False
        case aiohttp.ClientConnectorError():
            return Failed(f"no connection: {explanation}", transient=True), False
        case aiohttp.ClientOSError() | ConnectionError():
            return Failed("the connection was reset", transient=True), False
        case aiohttp.ClientResponseError():
            return Failed("its response is not valid HTTP"), False
        case _:
            return Failed(f"{type(error).__name__}: {explanation}"), False


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return the seconds after which an upstream wants to be asked again; 0 where the headers name no time.

    Read from `retry-after-ms`, or `retry-after` as seconds or an HTTP date (RFC 9110, section 10.2.3).
    """
    if (milliseconds := _seconds(headers.get("retry-after-ms", ""))) > 0:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    if (seconds := _seconds(value)) > 0:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0  # neither a number nor a date


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < 1e9 else 0.0  # noqa: PLR2004 - false for NaN and infinity, too


def _number(codes: frozenset[str]) -> int:
    """Return the code that is a three-digit status; 500 where there is none."""
    return next((int(code) for code in sorted(codes) if code.isdecimal() and len(code) == 3), 500)  # noqa: PLR2004
