"""What an answer must look like where its caller set `response_format` or `tools`. L1: no I/O, no Ray.

    conform()  holds a model's answer to it
    canned()   puts the last-resort message into it

A caller's `pattern` and `patternProperties` are not looked at: an expression can be written so that it takes hours. No
reference to another document is followed (`request/response_format.py` refuses them).
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from msgspec import Struct
from msgspec.structs import replace
from referencing import Registry
from referencing.exceptions import Unresolvable

from deployments.execution.attempt import Conform
from deployments.execution.schema_example import instance
from deployments.policy.outcome import Answered, Failed
from deployments.request import ResponseFormat

_FENCE = "```"
_TRUNCATED = ("length", "deadline")
_UNBOUNDED = ("pattern", "patternProperties")

_Validator: Any = extend(Draft202012Validator, dict.fromkeys(_UNBOUNDED))  # type: ignore[no-untyped-call]


class Canned(Struct, frozen=True):
    """A last-resort message in the form its caller wants.

    Attributes:
        text: never blank.
        valid: it fits the schema; there are schemas that no message of ours was found to fit.
    """

    text: str
    valid: bool


def conform_to(response_format: ResponseFormat) -> Conform | None:
    """What holds an answer to `response_format`; `None` where any form will do."""
    if not response_format.is_json and not response_format.demands_tool_call:
        return None
    return partial(conform, response_format=response_format)


def conform(answered: Answered, response_format: ResponseFormat) -> Answered | Failed:
    """Hold `answered` to `response_format`; a fence around its JSON is removed.

    What a content filter withheld fits any form, and so does a tool call.
    """
    if answered.finish_reason == "content_filter" or answered.tool_calls:
        return answered
    if response_format.demands_tool_call:
        return Failed("it called no tool, though tool_choice demands it")
    if not response_format.is_json:
        return answered
    text = answered.result if isinstance(answered.result, str) else orjson.dumps(answered.result).decode()
    bare = _without_fence(text)
    if wrong := _misfit(bare, response_format):
        cut = f", as it ended early ({answered.finish_reason})" if answered.finish_reason in _TRUNCATED else ""
        return Failed(f"its answer does not fit response_format: {wrong}{cut}")
    return replace(answered, result=bare)


def canned(message: str, response_format: ResponseFormat) -> Canned:
    """Put `message`, which is not blank, into the form that `response_format` wants."""
    if not response_format.is_json:
        return Canned(message, valid=True)
    return _canned_json(message, orjson.dumps(response_format.schema))


@lru_cache(maxsize=128)
def _canned_json(message: str, written: bytes) -> Canned:
    """Callers send the same schema again and again."""
    schema = orjson.loads(written)
    if not schema:
        return Canned(orjson.dumps({"message": message}).decode(), valid=True)
    value = instance(schema, message)
    return Canned(orjson.dumps(value).decode(), valid=not _violation(value, schema))


def _misfit(text: str, response_format: ResponseFormat) -> str:
    """Why `text` does not fit; empty where it does. Never quotes it."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return "it is not JSON"
    if not response_format.schema:
        return "" if isinstance(value, Mapping) else "it is not a JSON object"
    return _violation(value, response_format.schema)


def _violation(value: Any, schema: Mapping[str, Any]) -> str:
    try:
        error: ValidationError | None = next(_Validator(schema, registry=Registry()).iter_errors(value), None)
    except (RecursionError, Unresolvable):
        return "its schema refers to itself without end, or to what is not there"
    return "" if error is None else f"at {error.json_path[:100]} by {str(error.validator)[:50]}"


def _without_fence(text: str) -> str:
    bare = text.strip()
    if not bare.startswith(_FENCE) or not bare.endswith(_FENCE) or len(bare) < 2 * len(_FENCE):
        return bare
    first_line, _, rest = bare[len(_FENCE) : -len(_FENCE)].partition("\n")
    return rest.strip() if first_line.strip().lower() in {"", "json"} else bare
