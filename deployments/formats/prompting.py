"""The prompt of a request: its turns, the functions that may be called, and what is said of the form in words.

the chat template shows tools    it gets the functions, and the turns with calls and results in its own form
it does not, or there is none    a system turn explains the functions and `<tool_call>` (`_EXPLANATION`); calls are
                                 written out as `<tool_call>`, and results as `<tool_response>` in a user turn
no function may be called        the same of turns where the template shows tools; else calls and results are told
                                 in words, as `request.chat` has them
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from deployments.formats.tool_format import ToolFormat
from deployments.generation import Prompt
from deployments.request import InferenceRequest, ResponseFormat
from deployments.request.content import plain_content

_EXPLANATION = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
"""The words of Qwen's and Hermes' templates, which models of other families have met, too."""

_ROLES = {"developer": "system", "function": "tool"}
_RESULTS = ("tool", "function")


def prompt_of(request: InferenceRequest, form: ToolFormat | None) -> Prompt:
    """Return the prompt of `request` for a model that is offered tools as `form` says; `None` if it is offered none."""
    wanted = request.response_format
    functions = wanted.functions if form else ()
    messages: Sequence[Mapping[str, Any]] = request.messages
    if form and (functions or form.by_template) and any(map(_is_about_tools, request.turns)):
        messages = _as_fields(request.turns, form) if form.by_template else _as_text(request.turns)
    told = []
    if functions and form and not form.by_template:
        told.append(_EXPLANATION.format(tools="\n".join(_json(tool) for tool in functions)))
    if wanted.is_json:
        told.append(_instruction(wanted))
    if told or functions:
        messages = messages or ({"role": "user", "content": request.text},)
    shown = functions if form and form.by_template else ()
    turns = _with_system("\n\n".join(told), messages)
    return Prompt(request.text, turns, request.prefix, raw=request.raw, tokens=request.prompt_tokens, tools=shown)


def _with_system(told: str, messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Put `told` into the first system turn: many templates take one, at the beginning."""
    if not told:
        return messages
    if messages[0]["role"] != "system":
        return ({"role": "system", "content": told}, *messages)
    return ({**messages[0], "content": f"{messages[0]['content']}\n\n{told}"}, *messages[1:])


def _instruction(response_format: ResponseFormat) -> str:
    """Ask for JSON in words; the answer is held to the schema afterwards, whoever gives it."""
    schema: Mapping[str, Any] = response_format.schema
    fitting = f" that fits this JSON schema: {orjson.dumps(schema).decode()}" if schema else ""
    return f"Answer with one JSON object{fitting}. Write nothing before it and nothing behind it."


def _is_about_tools(turn: Mapping[str, Any]) -> bool:
    return turn["role"] in _RESULTS or bool(turn.get("tool_calls"))


def _as_fields(turns: Sequence[Mapping[str, Any]], form: ToolFormat) -> list[Mapping[str, Any]]:
    """The turns with the fields that chat templates read: arguments are objects there, not texts."""
    names: dict[str, str] = {}
    written: list[Mapping[str, Any]] = []
    for turn in turns:
        fields: dict[str, Any] = {"role": _ROLES.get(turn["role"], turn["role"]), "content": _text(turn)}
        if calls := turn.get("tool_calls"):
            fields["tool_calls"] = [_call_fields(call, form) for call in calls]
            names |= {str(call.get("id") or ""): _called(call)["name"] for call in calls}
        if turn["role"] in _RESULTS:
            key = str(turn.get("tool_call_id", ""))
            fields |= {"tool_call_id": _id(key, form), "name": names.get(key) or turn.get("name") or ""}
        written.append(fields)
    return written


def _as_text(turns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The turns for a template that knows no tools.

    Results in a row, and what a user says behind them, are one turn: many templates want roles in turn.
    """
    written: list[Mapping[str, Any]] = []
    follows_result = False
    for turn in turns:
        is_result, text = turn["role"] in _RESULTS, _text(turn)
        if is_result:
            text = f"<tool_response>\n{text}\n</tool_response>"
        calls = [f"<tool_call>\n{_json(_called(call))}\n</tool_call>" for call in turn.get("tool_calls", ())]
        text = "\n".join([text, *calls] if text else calls)
        role = "user" if is_result else _ROLES.get(turn["role"], turn["role"])
        if role == "user" and follows_result:
            written[-1] = {"role": role, "content": f"{written[-1]['content']}\n{text}"}
        else:
            written.append({"role": role, "content": text})
        follows_result = is_result
    return written


def _text(turn: Mapping[str, Any]) -> str:
    content = turn.get("content") or turn.get("refusal") or ""
    return plain_content(content, "messages", lambda *_: None)


def _json(value: Any) -> str:
    """Write JSON as Qwen's and Hermes' templates do, with a space behind each comma and colon."""
    return json.dumps(value, ensure_ascii=False)


def _call_fields(call: Mapping[str, Any], form: ToolFormat) -> Mapping[str, Any]:
    return {"id": _id(str(call.get("id") or ""), form), "type": "function", "function": _called(call)}


def _called(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name and the arguments of a call, as an object where they are one. `request.chat` has checked the call."""
    kind = call.get("type") or "function"
    given = call[kind].get("input" if kind == "custom" else "arguments") or "{}"
    try:
        arguments = orjson.loads(given)
    except orjson.JSONDecodeError:  # what a caller says that a model has written: a template writes it out as a text
        arguments = given
    return {"name": call[kind]["name"], "arguments": arguments}


def _id(key: str, form: ToolFormat) -> str:
    """An id in the form that the template demands: the same for a call and for its result."""
    return sha256(key.encode()).hexdigest()[: form.id_length] if form.id_length else key
