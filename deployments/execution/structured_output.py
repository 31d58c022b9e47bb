"""Checks an answer against the form that its caller demanded with `response_format` or `tools`.

An answer is checked once it is whole; the router does not use the caller's schema before. The check runs in a thread
beside the event loop, within a bound of steps (`schema_validator`).
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import orjson
from msgspec.structs import replace

from deployments.execution.attempt import Conform
from deployments.execution.schema_validator import TooManyStepsError, find_violation
from deployments.policy.outcome import Answered, Failed, Refused
from deployments.request import ResponseFormat

_FENCE = "```"
_TRUNCATED = ("length", "deadline")

CHECKS = ThreadPoolExecutor(max_workers=1, thread_name_prefix="conform")
"""One thread: checks hold the interpreter's lock, and a second one would only take time from the event loop."""


def conform_to(response_format: ResponseFormat) -> Conform | None:
    """Return the check of answers against `response_format`; `None` where any text will do."""
    if not response_format.demands_form:
        return None
    return partial(conform, response_format=response_format)


async def conform(answered: Answered, response_format: ResponseFormat) -> Answered | Failed | Refused:
    """Return `answered` where it fits `response_format`, with a Markdown fence around its JSON removed; else `Failed`.

    A tool call and a notice of a content filter fit any form. An answer that cannot be checked within the bound of
    steps is `Refused`, which is no evidence against its model: the schema is the caller's.
    """
    if answered.finish_reason == "content_filter" or answered.tool_calls:
        return answered
    if response_format.demands_tool_call:
        return Failed("it called no tool, though tool_choice demands it")
    if not response_format.is_json:
        return answered
    text = answered.result if isinstance(answered.result, str) else orjson.dumps(answered.result).decode()
    bare = _without_fence(text)
    schema = orjson.dumps(response_format.schema) if response_format.schema else b""
    try:
        wrong = await asyncio.get_running_loop().run_in_executor(CHECKS, _find_fault, bare, schema)
    except TooManyStepsError:
        return Refused("its answer takes too long to be checked against response_format")
    if wrong:
        cut = f", as it ended early ({answered.finish_reason})" if answered.finish_reason in _TRUNCATED else ""
        return Failed(f"its answer does not fit response_format: {wrong}{cut}")
    return replace(answered, result=bare)


def _find_fault(text: str, schema: bytes) -> str:
    """Return why `text` does not fit `schema`, without quoting it; empty where it fits."""
    written = text.encode()
    try:
        value = orjson.loads(written)
    except orjson.JSONDecodeError:
        return "it is not JSON"
    if not schema:
        return "" if isinstance(value, Mapping) else "it is not a JSON object"
    return find_violation(written, schema)


def _without_fence(text: str) -> str:
    bare = text.strip()
    if not bare.startswith(_FENCE) or not bare.endswith(_FENCE) or len(bare) < 2 * len(_FENCE):
        return bare
    first_line, _, rest = bare[len(_FENCE) : -len(_FENCE)].partition("\n")
    return rest.strip() if first_line.strip().lower() in {"", "json"} else bare
