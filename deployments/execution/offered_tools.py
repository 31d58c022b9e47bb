"""Checks tool calls against the tools that the caller offered, before they count as an answer.

A call has to name one of the tools, and one of those that `tool_choice` names; its arguments have to fit the tool's
`parameters`. A schema that is none, breaks a bound of `request.schema`, or takes too long to be checked, is not
checked: the caller has sent it, and no model could do better. As all checks, these run in a thread beside the event
loop, within its bound of steps: the schemas of tools are first read here, once a model has called the tool.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import orjson

from deployments.execution.checked_json import TooLargeError
from deployments.execution.steps import TooManyStepsError, steps
from deployments.execution.structured_output import CHECKS, TooManyWaitError, find_fault
from deployments.request import ResponseFormat
from deployments.request.inference import allowed_names
from deployments.request.schema import fault_of_written

_OBJECT_STEPS = 2


def tool_names(response_format: ResponseFormat) -> frozenset[str]:
    """Return the names of the tools that may be called; empty where they cannot be told."""
    names = [_part(tool).get("name") for tool in response_format.tools]
    return frozenset(name for name in names if isinstance(name, str)) if all(names) else frozenset()


async def fault_of_calls(calls: Sequence[Mapping[str, Any]], response_format: ResponseFormat) -> str:
    """Return what is wrong with `calls`, without quoting their arguments; empty where nothing is."""
    if response_format.tool_choice == "none":
        return "it called a tool, though tool_choice forbids it"
    names, chosen = tool_names(response_format), allowed_names(response_format.tool_choice)
    if isinstance(response_format.tool_choice, Mapping) and (name := _part(response_format.tool_choice).get("name")):
        chosen = frozenset([str(name)])
    if not names:
        return ""
    calls = [call for call in calls if not (call.get("type") == "custom" and "item" in call)]  # its tool has no name
    for call in calls:
        name = str(_part(call).get("name") or "")
        if name not in names:
            return f"it called {name[:64]!r}, which is none of the tools"
        if chosen and name not in chosen:
            return f"it called {name[:64]!r}, though tool_choice demands another tool"
    schemas = {_part(tool)["name"]: _part(tool).get("parameters") for tool in response_format.tools}
    checked = [
        (name, str(_part(call).get("arguments") or ""), schema)
        for call in calls
        if isinstance(schema := schemas[name := _part(call)["name"]], Mapping) and schema
    ]
    for name, arguments, schema in checked:
        try:
            wrong = await CHECKS.run(partial(_misfit, arguments, schema))
        except (TooLargeError, TooManyStepsError, TooManyWaitError):
            continue
        if wrong:
            return f"its call of {name[:64]!r} does not fit the tool's parameters: {wrong}"
    return ""


def _misfit(arguments: str, schema: Mapping[str, Any]) -> str:
    """Return why `arguments` do not fit `schema`; empty where they do, or where `schema` is none to be held to."""
    written = orjson.dumps(schema)
    return find_fault(arguments, written) if _is_usable(written) else ""


@lru_cache(maxsize=128)
def _is_usable(schema: bytes) -> bool:
    """Return whether a call can be held to `schema`. Cached, as a known one takes no steps."""
    steps.take(_OBJECT_STEPS * schema.count(b"{"))
    return not fault_of_written(schema)


def _part(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a tool, a choice or a call that has the name: `function`, or what its `type` says."""
    part = tool.get(str(tool.get("type") or "function"))
    return part if isinstance(part, Mapping) else {}
