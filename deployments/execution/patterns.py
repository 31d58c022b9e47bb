"""Regular expressions of callers, matched in linear time (Rust's regex).

Linear in the text, that is: an expression with thousands of states takes thousands of times longer for each character,
and nothing can stop a match that has begun. So an expression is put into a class by its compiled size, and a text for
which a match might take longer than a whole check is not matched.
"""

import time
from functools import lru_cache
from typing import Any, NamedTuple

import jsonschema_rs

from deployments.execution.steps import TooManyStepsError, steps

_CLASSES = ((1 << 12, 1), (1 << 14, 2), (1 << 17, 16), (1 << 20, 130))
"""Bytes of the compiled expression, and the steps that a character takes at worst: as measured."""

_TABLE_BYTES = 1 << 18
"""Memory of one expression for its fast way to match."""

_COMPILE_STEPS = 300
_BYTES_A_STEP = 64
_STEPS_A_SECOND = 500_000


class _Expression(NamedTuple):
    matcher: Any
    steps_a_character: int


def matches(pattern: str, text: str, *, unknown: bool = True) -> bool:
    """Return whether `pattern` matches in `text`; `unknown` where it cannot be matched in linear time.

    Raises:
        TooManyStepsError: the match takes too many steps, or could do so.
    """
    steps.take(1 + len(text) // _BYTES_A_STEP)
    expression = _compiled(str(pattern))
    if expression is None:
        return unknown
    if len(text) * expression.steps_a_character > steps.most:
        raise TooManyStepsError
    began = time.thread_time()
    matched = bool(expression.matcher.is_valid(str(text)))
    steps.take(int((time.thread_time() - began) * _STEPS_A_SECOND))
    return matched


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> _Expression | None:
    """Compile `pattern`; `None` where it needs backtracking, or is larger than the largest class."""
    for size, steps_a_character in _CLASSES:
        steps.take(_COMPILE_STEPS)
        options = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=_TABLE_BYTES)
        try:
            return _Expression(
                jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options), steps_a_character
            )
        except (jsonschema_rs.ValidationError, ValueError):
            continue
    return None
