"""Reads nearly every whole answer: one choice, whose message is a text, and nothing that would have to be told apart.

It gives what `ChunkReader` gives, in a tenth of the time, and leaves everything else to that.
"""

import orjson

from deployments.policy.extras import Extras, fields_beside
from deployments.policy.outcome import Answered
from deployments.upstream.contents import read_usage
from deployments.upstream.passage import is_last_resort
from deployments.upstream.stream import OF_BODY

_CHOICE = frozenset({"index", "message", "finish_reason", "logprobs"})
_MESSAGE = frozenset({"role", "content", "refusal", "tool_calls", "function_call"})


def read_plain(data: bytes) -> Answered | None:
    """Return the answer in the body of a response; `None` where it has to be read by `ChunkReader`."""
    if data[:1] != b"{" or data[-1:] != b"}":
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    choices, usage = value.get("choices"), value.get("usage")
    if is_last_resort(value):
        return None
    if (
        value.get("error")
        or value.get("base_resp")
        or not isinstance(choices, list)
        or len(choices) != 1
        or not isinstance(usage, dict)
    ):
        return None
    choice = choices[0]
    if not isinstance(choice, dict) or not _CHOICE.issuperset(choice) or choice.get("index") != 0:
        return None
    message, reason = choice.get("message"), choice.get("finish_reason")
    if choice.get("logprobs") or reason not in ("stop", "length") or not isinstance(message, dict):
        return None
    text = message.get("content")
    if not _MESSAGE.issuperset(message) or message.get("refusal"):
        return None
    if message.get("tool_calls") or message.get("function_call"):
        return None
    if not isinstance(text, str) or not text[:1].isalnum():  # others may be blank, or begin with a tag
        return None
    extras = Extras(fields_beside(value, OF_BODY), usage=fields_beside(usage, ()))
    return Answered(text, read_usage(usage), reason, extras=extras)
