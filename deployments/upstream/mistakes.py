"""Tells the mistakes of a caller from everything else that a refusal may be about.

Providers repeat what a caller has sent: the name of a tool, a value, an address. Those words say nothing of a limit or
of an account. So at 400 and 422 a code for a mistake, or a field of the request, goes before the words of a message,
and what is quoted in a message is left out before its words are read.
"""

import re
from collections.abc import Iterable

from deployments.request.sampling import SAMPLING_KEYS

_CODE = re.compile(
    r"invalid(value|type|url|enum\w*|base64\w*|jsonschema|schema|json|functionparameters|functionname|toolcall\w*"
    r"|image\w*|file\w*|audio\w*|mediatype|messagerole|parameter|parametervalue)"
    r"|unsupported(value|parameter|type|image\w*|file\w*|mediatype)"
    r"|(missing|unknown|duplicate|conflicting)(required)?(parameter|field|argument)s?"
    r"|(integer|decimal|number|array|string|object)(above|below|notmultiple)(min|max)(value|items|length|properties)?"
)
_FIELD = re.compile(
    r"(messages?|prompt|input|contents?|system|tools?|tool_choice|tool_config|functions?|function_call|response_format"
    rf"|json_schema|guided_\w+|{'|'.join(SAMPLING_KEYS)}|n|stop_sequences|user|max_\w*tokens"
    r"|logprobs|top_logprobs|parallel_tool_calls"
    r"|reasoning|reasoning_effort|verbosity|modalities|audio|image_url|metadata|prediction|thinking|generation_config)"
    r"(?![\w-])"
)
_QUOTED = re.compile(
    r"(?<!message': )(?<!message\": )(?:(?<!\w)'.{0,2000}?'(?!\w)|\"[^\"]{0,2000}\"|`[^`]{0,2000}`|“[^”]{0,2000}”)",
    re.DOTALL,
)
_OF_LENGTH = re.compile(r".(inputs?|prompt|messages|max_\w+|model).")
"""Quoted names of fields that tell what is too long."""

_TEXT_TOO_LONG = "stringabovemaxlength"
_QUOTED_FIELD = re.compile(r"'([a-z_]\w*(?:\[\d+\]|\.\w+)*)'")
_FIELD_OF_PROMPT = re.compile(r"(messages|input|prompt|instructions|system|content)(?![\w-])(?!.*\b(name|\w*id)$)")
"""A field whose length is that of the prompt; a name in there has a bound of its own, which is that of all models."""


def is_mistake(keys: Iterable[str], param: str) -> bool:
    """Return whether an error tells a mistake of the caller: by a code, of which `keys` are the letters, or a field."""
    return any(_CODE.fullmatch(key) for key in keys) or _FIELD.match(param) is not None


def is_name_too_long(keys: Iterable[str], param: str, message: str) -> bool:
    """Return whether an error says that a text is too long which is none of the prompt, such as the name of a tool.

    Args:
        keys: the letters of its codes.
        param: the field that it names, in lower case; empty where it names none.
        message: its message in lower case.
    """
    if _TEXT_TOO_LONG not in keys:
        return False
    quoted = _QUOTED_FIELD.search(message)
    field = param or (quoted[1] if quoted else "")
    return bool(field) and not _FIELD_OF_PROMPT.match(field)


def without_quotes(message: str) -> str:
    """Return `message` without what it quotes; all of it where nothing else is left."""
    left = _QUOTED.sub(lambda found: found[0] if _OF_LENGTH.fullmatch(found[0].lower()) else "", message)
    return left if any(character.isalpha() for character in left) else message


def is_of_caller(status: int) -> bool:
    """Return whether a status is one at which a caller may be told of a mistake."""
    return status in {400, 422}
