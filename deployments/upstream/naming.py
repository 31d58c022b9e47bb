"""What a caller calls the field that a remote complains of: by the name in his own format, or nothing.

A remote names the field of the body that the router wrote. The caller has sent another one: in another format, by
another of two names that a format has for the same thing, or none at all, as the router sets some fields itself.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteApi
from deployments.upstream.causes import Cause
from deployments.upstream.complaints import Complaint
from deployments.upstream.scores import field_of


class _Names(NamedTuple):
    """The names of one thing in each format, the likeliest first; those in chats, text completions and the native API.

    Of a thing that is a part of something else, the name of that.
    """

    chat: tuple[str, ...]
    messages: tuple[str, ...]
    responses: tuple[str, ...]


_CONVERSATION = _Names(("messages", "prompt", "text", "input", "inputs"), ("messages",), ("input",))
_TABLE = (
    _CONVERSATION,
    _Names(("messages", "prompt", "text", "input", "inputs"), ("system", "messages"), ("instructions", "input")),
    _Names(("max_tokens", "max_completion_tokens"), ("max_tokens",), ("max_output_tokens",)),
    _Names(("stop",), ("stop_sequences",), ("stop",)),
    _Names(("response_format",), ("output_config", "output_format"), ("text",)),
    _Names(("reasoning_effort",), ("thinking", "output_config"), ("reasoning",)),
    _Names(("verbosity",), (), ("text",)),
    _Names(("tools",), ("tools",), ("tools",)),
    _Names(("tool_choice",), ("tool_choice",), ("tool_choice",)),
    _Names(("parallel_tool_calls",), ("tool_choice",), ("parallel_tool_calls",)),
    _Names(("logprobs", "top_logprobs"), (), ("top_logprobs", "include")),
    _Names(("user",), ("metadata",), ("user",)),
)
_SET_HERE = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "store",
        "include",
    }
    | {"continue_final_message", "add_generation_prompt"}
)
"""What the router sets by itself. Any other field that the caller has not sent is one that the remote demands."""

_OF_THE_PROMPT = frozenset({Cause.TOO_LONG, Cause.CONTENT})
_TEXTS = frozenset({"input", "inputs", "text", "texts", "query", "queries", "documents", "text_1", "text_2"})
"""What remotes call the texts that are to become vectors or scores."""

_OLDER = {"max_completion_tokens": "max_tokens"}
"""The older names of what has two in a chat."""

_FIRST_STEP = re.compile(r"[^.\[]*")


def field_of_caller(complaint: Complaint, request: InferenceRequest, api: RemoteApi) -> str:
    """Return the field of `request` that a remote which speaks `api` complains of; empty where it is not the caller's.

    The place within a field is told where the caller speaks the same format: elsewhere it is another one.
    """
    sent = _names_sent(request)
    param, own = complaint.param, request.sent.api or "chat"
    root = _first_step(param)
    if request.vectors:
        if root in _TEXTS or (not root and complaint.cause in _OF_THE_PROMPT):
            return field_of(request)
        return "" if root in _SET_HERE else param
    if own == api and root in sent:
        return param
    for name in _meant(root, api, own):
        if name in sent:
            return name
    prompt = getattr(_CONVERSATION, own) if complaint.cause in _OF_THE_PROMPT else ()
    demanded = param if own == api and root not in _SET_HERE else ""
    return next((name for name in prompt if name in sent), demanded)


def _first_step(path: str) -> str:
    found = _FIRST_STEP.match(path)
    return found[0] if found else ""


def _meant(root: str, api: RemoteApi, own: str) -> Iterator[str]:
    """Yield what a caller of the format `own` may call what `api` calls `root`, the likeliest first."""
    is_listed = False
    for names in _TABLE:
        if root in getattr(names, api):
            is_listed = True
            yield from getattr(names, own)
    if not is_listed:  # such as `temperature`
        yield root


def _names_sent(request: InferenceRequest) -> AbstractSet[str]:
    """Return the names of the fields that the caller has sent, without those that the router acts on itself."""
    if request.sent.api:
        return request.sent.body.keys()
    wanted = request.response_format
    read = {
        "response_format": wanted.constraint,
        "tools": wanted.tools,
        "tool_choice": wanted.tool_choice,
        "parallel_tool_calls": wanted.parallel_tool_calls is not None,
        "user": request.user,
    }
    others = request.sent.body.keys()  # the newer of two names
    parameters = request.parameters.sent().keys() - {_OLDER[name] for name in others if name in _OLDER}
    prompt = {"prompt"} if request.raw else request.inputs.keys() or {"messages" if request.messages else "text"}
    return {*prompt, *others, *parameters, *request.passthrough, *(name for name, value in read.items() if value)}
