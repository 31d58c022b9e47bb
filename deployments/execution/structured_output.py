"""Checks an answer against the form that its caller demanded with `response_format` or `tools`.

An answer is checked once it is whole; the router does not use the caller's schema before. The checks run in threads
beside the event loop, within bounds that hold whatever a caller demands and a model answers:

    size      an answer over a bound of `checked_json` is not even decoded
    steps     a check computes for about half a second at most (`steps`)
    waiting   the quick checks, nearly all, never wait for a slow one: a check that is not done within `QUICK_STEPS`
              begins anew in a thread for the slow ones. At most `MAX_SLOW` are there, and no more are taken
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson
from msgspec.structs import replace

from deployments.execution.attempt import Conform
from deployments.execution.checked_json import MAX_CHECKED_BYTES, MisfitError, TooLargeError, decode_answer
from deployments.execution.schema_validator import find_violation
from deployments.execution.steps import MAX_STEPS, QUICK_STEPS, TooManyStepsError, steps
from deployments.observability import log
from deployments.policy.blank import is_blank
from deployments.policy.outcome import Answered, Failed, Refused, TimedOut
from deployments.request import ResponseFormat

MAX_SLOW = 8
"""Slow checks that are under way or wait: together they take a few seconds."""

_FENCE = "```"
_TRUNCATED = ("length", "deadline")


def conform_to(response_format: ResponseFormat) -> Conform | None:
    """Return the check of answers against `response_format`; `None` where any text will do."""
    if not response_format.demands_form:
        return None
    return partial(conform, response_format=response_format)


async def conform(answered: Answered, response_format: ResponseFormat) -> Answered | Failed | Refused | TimedOut:
    """Return `answered` where it fits `response_format`, as `_conform` does, without the further choices that do not.

    `dropped` then has how many of those are missing.
    """
    fitted = await _conform(answered, response_format)
    if not isinstance(fitted, Answered) or not fitted.extras.others:
        return fitted
    others = [await _fitted(choice, response_format) for choice in fitted.extras.others]
    kept = [{**choice, "index": place} for place, choice in enumerate(filter(None, others), 1)]
    if len(kept) == len(others):
        return replace(fitted, extras=replace(fitted.extras, others=tuple(kept)))
    gone = sum(int(name[2:]) for name in fitted.dropped if name.startswith("n:")) + len(others) - len(kept)
    dropped = (*(name for name in fitted.dropped if not name.startswith("n:")), f"n:{gone}")
    return replace(fitted, extras=replace(fitted.extras, others=tuple(kept)), dropped=dropped)


async def _fitted(choice: Mapping[str, Any], response_format: ResponseFormat) -> Mapping[str, Any] | None:
    """Return a further choice where it fits, as it is to be given, else `None`. A refusal fits any form."""
    message = choice.get("message") or {}
    said = message.get("content")
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return choice
    calls = tuple(message.get("tool_calls") or ())
    if not calls and is_blank(said):
        return None
    fitted = await _conform(
        Answered(said or calls, None, choice.get("finish_reason") or "stop", calls), response_format
    )
    if not isinstance(fitted, Answered):
        return None
    return choice if calls else {**choice, "message": {**message, "content": fitted.result}}


async def _conform(answered: Answered, response_format: ResponseFormat) -> Answered | Failed | Refused | TimedOut:
    """Return `answered` where it fits `response_format`, with a Markdown fence around its JSON removed; else `Failed`.

    Where its deadline cut it short it is `TimedOut`: whether there was time enough is for the policy to say.
    A tool call and a notice of a content filter fit any form. An answer that cannot be checked within the bounds is
    `Refused`, which is no evidence against its model: it is too large, too much work, or too many others are checked.
    """
    if answered.finish_reason == "content_filter" or answered.tool_calls:
        return answered
    truncated = answered.finish_reason in _TRUNCATED
    if response_format.demands_tool_call:
        return Failed("it called no tool, though tool_choice demands it", misfit=True, cut=truncated)
    if not response_format.is_json:
        return answered
    text = answered.result if isinstance(answered.result, str) else orjson.dumps(answered.result).decode()
    if len(text) > MAX_CHECKED_BYTES:
        return Refused(f"its answer is too large to be checked: it has more than {MAX_CHECKED_BYTES} bytes")
    bare = _without_fence(text)
    schema = orjson.dumps(response_format.schema) if response_format.schema else b""
    try:
        wrong = await CHECKS.run(partial(find_fault, bare, schema))
    except TooManyStepsError:
        return Refused("its answer takes too long to be checked against response_format")
    except TooManyWaitError:
        return Refused("its answer cannot be checked: too many others are being checked", transient=True)
    except TooLargeError as error:
        return Refused(f"its answer is too large to be checked: {error}")
    except Exception as error:  # noqa: BLE001 - a bug of ours, or of the validator's: it says nothing about the model
        log.internal_error("conform", "", error)
        return Refused(f"its answer could not be checked: {type(error).__name__}")
    if wrong and answered.finish_reason == "deadline":
        return TimedOut(f"its answer was not complete at the deadline: {wrong}")
    if wrong:
        early = f", as it ended early ({answered.finish_reason})" if truncated else ""
        return Failed(f"its answer does not fit response_format: {wrong}{early}", misfit=True, cut=truncated)
    return replace(answered, result=bare)


class TooManyWaitError(Exception):
    """`MAX_SLOW` slow checks are under way or wait."""


class _Checks:
    """The checks of a process, in two threads: one for the quick, and one for the slow.

    Checks hold the interpreter's lock: further threads would take time from the event loop and from each other.
    """

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(max_workers=1, thread_name_prefix="conform")
        self._slow = ThreadPoolExecutor(max_workers=1, thread_name_prefix="conform-slow")
        self._slow_ones = 0

    async def run(self, check: Callable[[], str]) -> str:
        """Return what `check` returns, which takes `steps`, and may be begun twice.

        Raises:
            TooManyStepsError: the check takes more than `MAX_STEPS`.
            TooManyWaitError: the check is slow, and too many others are.
            Exception: what the check raises.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._quick, _within, QUICK_STEPS, check)
        except TooManyStepsError as error:
            if self._slow_ones >= MAX_SLOW:
                raise TooManyWaitError from error
        self._slow_ones += 1
        try:
            return await loop.run_in_executor(self._slow, _within, MAX_STEPS, check)
        finally:
            self._slow_ones -= 1


CHECKS = _Checks()
"""The checks of this process."""


def _within(most_steps: int, check: Callable[[], str]) -> str:
    steps.begin(most_steps)
    return check()


def find_fault(text: str, schema: bytes) -> str:
    """Return why `text` does not fit `schema`, without quoting it; empty where it fits.

    Raises:
        TooLargeError: the text is too large to be checked.
        TooManyStepsError: the running check takes more steps than it has.
    """
    try:
        value = decode_answer(text)
        if schema:
            return find_violation(value, schema)
    except MisfitError as error:
        return str(error)
    return "" if isinstance(value, Mapping) else "it is not a JSON object"


def _without_fence(text: str) -> str:
    bare = text.strip()
    if not bare.startswith(_FENCE) or not bare.endswith(_FENCE) or len(bare) < 2 * len(_FENCE):
        return bare
    first_line, _, rest = bare[len(_FENCE) : -len(_FENCE)].partition("\n")
    return rest.strip() if first_line.strip().lower() in {"", "json"} else bare
