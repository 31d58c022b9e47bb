"""Turns every error between a router and an upstream into an outcome.

    no connection    refused, reset, closed before a response      Failed     transient
                     no such host, TLS                             Failed     and an error in the log: for the operator
                     not within the connect timeout                TimedOut
    a response       cut in its middle                             Failed     transient
                     not HTTP, headers beyond their bound          Failed
    an error         for the operator: credit, key, permission,    Failed     and an error in the log
                     unknown model, a redirect
                     a loop                                        Refused    and an error in the log
                     a rate limit                                  Refused    transient, its wait kept
                     busy or broken                                Failed     transient; Refused where it names a wait
                     the request is too long for it                Rejected   another model may take it
                     the request is rejected for its content       Rejected   with the provider's code
                     the answer is withheld                        Answered   `finish_reason: content_filter`
                     the request is invalid, by a code or a field  Rejected   the caller's fault
                     the same without either, or in a translation  Rejected   another model may take it
                     a refusal without an explanation              Failed     no caller could mend it

`diagnosis` tells which it is. A caller reads a provider's own words only about the caller's request, and only where
they name nothing of the operator's account.
"""

import aiohttp

from deployments.policy.outcome import WITHHELD, Answered, Failed, Refused, Rejected, TimedOut
from deployments.policy.problem import UNSUPPORTED
from deployments.upstream.causes import Cause
from deployments.upstream.complaints import Complaint
from deployments.upstream.diagnosis import BUSY_STATUS, cause_of

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)
"""The errors that a call over a pooled connection can raise, cancellation aside."""

TOO_LONG_CODE = "context_length_exceeded"
CONTENT_CODE = "content_policy_violation"
"""OpenAI's codes, for providers that name none."""

_TOLD = {
    Cause.RATE_LIMIT: "its rate limit is reached",
    Cause.NO_CREDIT: "it does not serve this router, which only the operator can mend",
    Cause.CREDENTIALS: "it does not serve this router, which only the operator can mend",
    Cause.PERMISSION: "it does not serve this router, which only the operator can mend",
    Cause.UNKNOWN_MODEL: "it has no such model or address, which only the operator can mend",
    Cause.LOOP: "the request would have come back to where it came from",
}
"""What is told of causes that a provider explains by the operator's account."""

NO_CONNECTION = Failed("no connection", transient=True)
"""Nothing listens, or cannot be reached: the request was not sent."""


def classify_complaint(
    complaint: Complaint, explanation: str, *, translated: bool = False
) -> Answered | Failed | Refused | Rejected:
    """Return the outcome for an error, by the module's table.

    Args:
        complaint: the error; its field is the caller's own.
        explanation: the message of the error without anything that a caller may not read; may be empty.
        translated: the request was sent to us in another format: what is invalid may be our translation of it.
    """
    status, wait_s, cause = complaint.status, complaint.retry_after_s, complaint.cause
    told = _TOLD.get(cause, explanation)
    said = f"it answered {status}" + (f": {told}" if told else "")
    match cause:
        case Cause.RATE_LIMIT:
            return Refused(said, transient=True, retry_after_s=wait_s)
        case Cause.BUSY | Cause.BROKEN:
            if wait_s:  # it asks for a pause: that is back-pressure, and no failure
                return Refused(f"it answered {status}, and asks for a pause", transient=True, retry_after_s=wait_s)
            may_pass = cause is Cause.BUSY or status in BUSY_STATUS or status < 300  # noqa: PLR2004 - within a success
            return Failed(said, transient=may_pass, log_reason=f"it answered {status}")
        case Cause.LOOP:  # the hops are what the request says, and so no evidence against the model
            return Refused(said)
        case Cause.NO_CREDIT | Cause.CREDENTIALS | Cause.PERMISSION | Cause.UNKNOWN_MODEL:
            return Failed(said)
        case Cause.TOO_LONG:
            reason = (
                f"the request is too long for it: {explanation}" if explanation else "the request is too long for it"
            )
            return Rejected(reason, complaint.param or "body", TOO_LONG_CODE, elsewhere=True)
        case Cause.CONTENT:
            reason = explanation or "its provider rejects the content of the request"
            return Rejected(reason, complaint.param or "body", _content_code(complaint), content=True)
        case Cause.WITHHELD:
            return Answered(WITHHELD, None, "content_filter")
        case Cause.INVALID:
            reason = explanation or f"status {status}, without an explanation that can be passed on"
            return Rejected(
                reason, complaint.param or "body", _code(complaint), elsewhere=translated or not complaint.is_certain
            )
        case Cause.UNEXPLAINED:
            return Failed(said, transient=status in BUSY_STATUS, log_reason=f"it answered {status}")


def classify_transport(error: BaseException) -> tuple[Failed | TimedOut, bool]:
    """Return the outcome for a transport error, and whether only the operator can remove its cause.

    The text of the error is not in the reason: it names the host.
    """
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Failed("its host was not found"), True
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return Failed("TLS failed"), True
        case TimeoutError():  # includes the timeouts of aiohttp
            return TimedOut("no connection within its timeout"), False
        case aiohttp.ClientPayloadError():
            return Failed("its response was cut", transient=True), False
        case aiohttp.ServerDisconnectedError():
            return Failed("it closed the connection without a response", transient=True), False
        case aiohttp.ClientConnectorError():
            return NO_CONNECTION, False
        case aiohttp.ClientOSError() | ConnectionError():
            return Failed("the connection was reset", transient=True), False
        case aiohttp.ClientResponseError():
            return Failed("its response is not valid HTTP"), False
        case _:
            return Failed(type(error).__name__), False


def lacks(variable: str) -> Failed:
    """Return the outcome where the router's environment has no credential for a remote."""
    return Failed(f"the router's environment lacks {variable}")


def drops(dropped: tuple[str, ...]) -> Rejected:
    """Return the outcome where a remote cannot be asked for all that a strict request asks for."""
    reason = f"it cannot do all that the strict request asks for: {', '.join(dropped)}"
    return Rejected(reason, dropped[0], UNSUPPORTED, elsewhere=True)


def _content_code(complaint: Complaint) -> str:
    """Return the provider's own code for a rejected content; OpenAI's where it has none."""
    names = (code for code in complaint.codes if not code.isdecimal() and _names_content(code))
    return next(names, CONTENT_CODE)


def _names_content(code: str) -> bool:
    from_code = cause_of((code,), "", 400, waits=False)
    return from_code in {Cause.CONTENT, Cause.WITHHELD}


def _code(complaint: Complaint) -> str:
    """Return the most precise code of an error; empty where it has none but a status or a catch-all type."""
    named = (code for code in complaint.codes if not code.isdecimal() and code.lower() not in _CATCH_ALL_TYPES)
    return next(named, "")


_CATCH_ALL_TYPES = frozenset({"error", "invalid_request_error", "badrequesterror", "bad_request_error", "null", "none"})
