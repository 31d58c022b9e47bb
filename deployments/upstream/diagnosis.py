"""Tells whose fault an error of a provider is, by the tables of `causes`.

Providers tell the same trouble by other statuses, codes and words, and the status is the least precise of the three:
no credit comes as 400, a rate limit as 413, a filter as 403. So the order is:

    1. a code or type that names the trouble (`context_length_exceeded` beside `invalid_request_error`)
    2. the words of the message; few of them where a code or a field names a mistake of the caller (`mistakes`)
    3. the status, or a number in the error that is one
    4. a catch-all code or type (`invalid_request_error`, `api_error`)
"""

import re
from collections.abc import Iterable, Mapping

from deployments.upstream.causes import CATCH_ALLS_OF_CAUSES, CODES_OF_CAUSES, WORDS_OF_CAUSES, Cause
from deployments.upstream.mistakes import is_mistake, is_name_too_long, is_of_caller, letters_of, without_quotes

_ABOUT_OUTPUT = re.compile(
    r"\boutput (was |is |has been )?(blocked|filtered|withheld)|\b(response|completion|output|answer|generation) "
    r"(was|is|has been) (blocked|filtered|withheld|flagged|stopped)|(generated|output) (text|content|data)",
)
_ABOUT_INPUT = re.compile(r"\b(prompt|input|request|messages?|query)\b")
_ABOUT_MAX_TOKENS = re.compile(r"^.{0,40}max_?(completion_|output_|new_)?tokens\b")
_ABOUT_PROMPT = re.compile(
    r"\b(inputs?|prompt|messages|request has|you requested)\b|context (length|limit|size) (is|of)|got:? ?-\d"
)


def _compiled(table: Mapping[Cause, tuple[str, ...]]) -> list[tuple[Cause, re.Pattern[str]]]:
    return [(cause, re.compile("|".join(patterns))) for cause, patterns in table.items()]


_CODE_TABLE, _CATCH_ALL_TABLE, _WORD_TABLE = (
    _compiled(CODES_OF_CAUSES),
    _compiled(CATCH_ALLS_OF_CAUSES),
    _compiled(WORDS_OF_CAUSES),
)

_CLEAR_STATUS = {
    401: Cause.CREDENTIALS,
    402: Cause.NO_CREDIT,
    403: Cause.PERMISSION,
    404: Cause.UNKNOWN_MODEL,
    405: Cause.UNKNOWN_MODEL,
    407: Cause.CREDENTIALS,
    410: Cause.UNKNOWN_MODEL,
    413: Cause.TOO_LONG,
    415: Cause.UNEXPLAINED,
    429: Cause.RATE_LIMIT,
    451: Cause.PERMISSION,
    508: Cause.LOOP,
}
_FEW_WORDS = 4

_VAGUE_STATUS = frozenset({200, 400, 422, 500})
"""Statuses that say little: whatever else an error says goes before them."""

_READ_AT_ANY_STATUS = frozenset({Cause.TOO_LONG, Cause.RATE_LIMIT})
_READ_OF_CALLERS = frozenset({Cause.TOO_LONG, Cause.PERMISSION})
_READ_AT_403 = _READ_AT_ANY_STATUS | {Cause.CONTENT}
BUSY_STATUS = frozenset({408, 409, 424, 425, 498, 499, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529, 530})
"""Statuses that another try may not have."""


def cause_of(codes: Iterable[str], message: str, status: int, *, waits: bool, param: str = "") -> Cause:
    """Return the cause of an error.

    Args:
        codes: its codes and types, the most precise first.
        message: its message.
        status: the status of the response; 200 for an error within a success.
        waits: it names a time after which to ask again.
        param: the field that it names.
    """
    # Some have a sentence where a code belongs.
    keys = [letters_of(code) for code in codes if code.count(" ") < _FEW_WORDS]
    lowered = message.lower()
    answered = status
    if 300 <= status < 400:  # noqa: PLR2004 - a redirect, which is not followed
        return Cause.UNKNOWN_MODEL
    if is_name_too_long(keys, param.lower(), lowered):
        return Cause.INVALID
    if (precise := _first(_CODE_TABLE, keys)) is not None:
        return _direction(precise, lowered, answered)
    number = next((int(key) for key in keys if key.isdecimal() and len(key) == 3), status)  # noqa: PLR2004
    if status in _VAGUE_STATUS:
        status = number if number >= 400 else status  # noqa: PLR2004
    is_callers = is_of_caller(status) and is_mistake(keys, param)
    said = _by_words(lowered, status, param, is_callers=is_callers)
    if said is Cause.NO_CREDIT and waits:
        said = Cause.RATE_LIMIT  # an account without credit names no time
    if said is not None:
        return _direction(said, lowered, answered)
    if is_callers:
        return Cause.INVALID
    if status in _CLEAR_STATUS:
        return _CLEAR_STATUS[status]
    if status in BUSY_STATUS and status not in _VAGUE_STATUS:
        return Cause.BUSY
    if (general := _first(_CATCH_ALL_TABLE, keys)) is not None and status in _VAGUE_STATUS:
        return Cause.BUSY if status == 500 and general is Cause.INVALID else general  # noqa: PLR2004
    if status in {400, 422}:
        return Cause.INVALID if message.strip() else Cause.UNEXPLAINED
    return Cause.BROKEN if status in _VAGUE_STATUS else Cause.UNEXPLAINED


def names_filter(code: str) -> bool:
    """Return whether a code or a type is one for what a filter has stopped, as no event of an answer is called."""
    return _first(_CODE_TABLE, [letters_of(code)]) in {Cause.CONTENT, Cause.WITHHELD}


def _first(table: list[tuple[Cause, re.Pattern[str]]], texts: Iterable[str]) -> Cause | None:
    """Return the cause of the first row that fits a text, the first text before the second."""
    return next((cause for text in texts for cause, pattern in table if pattern.search(text)), None)


def _by_words(lowered: str, status: int, param: str, *, is_callers: bool) -> Cause | None:
    words = without_quotes(lowered) if is_of_caller(status) else lowered
    if is_callers:
        readable = _READ_OF_CALLERS | ({Cause.CONTENT} if param else frozenset())
    elif status in _VAGUE_STATUS:
        readable = frozenset(Cause)
    else:
        readable = _READ_AT_403 if status in {403, 451} else _READ_AT_ANY_STATUS
    if status == 429:  # noqa: PLR2004 - the words tell an empty account from a rate limit
        readable |= {Cause.NO_CREDIT}
    for cause, pattern in _WORD_TABLE:
        if cause in readable and pattern.search(words):
            if cause is Cause.TOO_LONG and _bounds_output(lowered, param):
                return Cause.INVALID
            return cause
    return None


def _bounds_output(lowered: str, param: str) -> bool:
    """Return whether a message is about a `max_tokens` that no model would take, and not about the prompt."""
    about = bool(_ABOUT_MAX_TOKENS.match(lowered)) or param.startswith("max_")
    return about and not _ABOUT_PROMPT.search(lowered)


def _direction(cause: Cause, lowered: str, status: int) -> Cause:
    """Tell a withheld answer from a rejected request: an error within a success comes where an answer was begun."""
    if cause is not Cause.CONTENT:
        return cause
    about_output = _ABOUT_OUTPUT.search(lowered) and not _ABOUT_INPUT.search(lowered)
    return Cause.WITHHELD if status < 300 or about_output else Cause.CONTENT  # noqa: PLR2004
