"""The refusals of keys, as problems: 401, 403 and 429. None of them quotes a key."""

from math import ceil

from deployments.access.measure import Measure
from deployments.policy.problem import InvalidRequestError, Problem

UNAUTHENTICATED, FORBIDDEN, TOO_MANY = 401, 403, 429

_FIELD = "authorization"
_CHALLENGE = {"www-authenticate": "Bearer"}
_HOW = "a valid key, as `Authorization: Bearer <key>`, `x-api-key` or `api-key`"
_BUDGETS = frozenset({Measure.DAY_TOKENS, Measure.DAY_MONEY})
_MOST_SECONDS = 86_400


def no_key() -> InvalidRequestError:
    """Return the refusal of a request without a key."""
    return _unauthenticated("is missing", "missing_api_key")


def wrong_key() -> InvalidRequestError:
    """Return the refusal of a key that does not exist. What about it is wrong is not told."""
    return _unauthenticated("is not a valid key", "invalid_api_key")


def expired_key() -> InvalidRequestError:
    """Return the refusal of a key that was valid."""
    return _unauthenticated("is a key that has expired", "expired_api_key")


def forbidden(field: str, what: str, accepted: str) -> InvalidRequestError:
    """Return the refusal of what the key does not allow."""
    return InvalidRequestError(Problem(field, what, accepted, FORBIDDEN, code="permission_denied"))


def too_many(measure: Measure, limit: float, wait_s: float) -> InvalidRequestError:
    """Return the refusal of a request beyond a limit, which may be sent again after `wait_s` seconds.

    Clients send again what is over in a minute; what is over in a day they are asked not to (`x-should-retry`, which
    the SDKs of OpenAI and Anthropic read).
    """
    seconds = min(_MOST_SECONDS, max(1, ceil(wait_s)))
    headers = {"retry-after": str(seconds), **({"x-should-retry": "false"} if measure in _BUDGETS else {})}
    code = "insufficient_quota" if measure in _BUDGETS else "rate_limit_exceeded"
    message = f"has reached its limit: {limit:g} {measure.value.replace('_', ' ')}"
    return InvalidRequestError(Problem("key", message, f"the same in {seconds} s", TOO_MANY, headers, code))


def _unauthenticated(message: str, code: str) -> InvalidRequestError:
    return InvalidRequestError(Problem(_FIELD, message, _HOW, UNAUTHENTICATED, _CHALLENGE, code))
