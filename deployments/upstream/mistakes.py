"""Tells the mistakes of a caller from everything else that a refusal may be about.

Providers repeat what a caller has sent: the name of a tool, a value, an address. Those words say nothing of a limit or
of an account. So at 400 and 422 a code for a mistake, or a field of the request, goes before the words of a message,
and what is quoted in a message is left out before its words are read.

A refusal that names neither such a code nor a field is the caller's only where no other model answers (`is_certain`):
it may be about an account, about an overload, or about what this model alone cannot do, in words that nobody knows.
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
_NAMES = (
    *("messages?", "prompt", "input", "contents?", "system", "tools?", "functions?", "json_schema", r"guided_\w+"),
    *("n", "stop_sequences", "user", r"max_\w*tokens", "modalities", "audio", "metadata", "prediction", "thinking"),
    *("tool_choice", "tool_config", "function_call", "response_format", "logprobs", "top_logprobs", "verbosity"),
    *("parallel_tool_calls", "reasoning", "reasoning_effort", "image_url", "generation_config", *SAMPLING_KEYS),
)
_ANY_NAME = "|".join(_NAMES)
_TELLING_NAME = "|".join(["temperature", "logprobs", *(name for name in _NAMES if "_" in name)])
_QUOTABLE_NAME = "|".join(name for name in _NAMES if name not in {"user", "system", "n"})
"""Names of fields; those that are no words of everyday language; those that are no role of a turn either."""

_FIELD = re.compile(rf"({_ANY_NAME})(?![\w-])")
_PLACE = r"(?:\[\w*\]|\.\w+){0,8}"
_IN_WORDS = re.compile(
    rf"(?<![\w-])(?:{_TELLING_NAME})(?![\w-])"
    rf"|['\"`](?:\w{{1,40}}\.)?(?:{_QUOTABLE_NAME}){_PLACE}['\"`]"
    rf"|^(?:[\w ]{{1,60}}: ?)?(?:{_ANY_NAME}){_PLACE}(?: ?:| must| should| cannot| may not| (?:is|are) "
    r"(?:a )?(?:required|missing|invalid|malformed|not valid|not an?\b))"
)
_UNABLE = re.compile(
    r"(?:not|n't) (?:currently |yet )?(?:supported|enabled|available|allowed|permitted) (?:by|with|for|on|in)\b.{0,60}"
    r"\bmodel"
    r"|\bmodels?\b.{0,80}(?:not|n't|cannot|only) (?:be used with|accept|take|support|handle)|does(?: not|n't) support"
    r"|only (?:supported|available|enabled) (?:by|with|for|on)"
)
"""What one model cannot do, and another one may."""

_QUOTED = re.compile(
    r"(?<!message': )(?<!message\": )(?:(?<!\w)'.{0,2000}?'(?!\w)|\"[^\"]{0,2000}\"|`[^`]{0,2000}`|“[^”]{0,2000}”)",
    re.DOTALL,
)
_OF_LENGTH = re.compile(r".(inputs?|prompt|messages|max_\w+|model).")
"""Quoted names of fields that tell what is too long."""

_LONGEST_READ = 4000
_NOT_LETTERS = re.compile(r"[^a-z0-9]")
_TEXT_TOO_LONG = "stringabovemaxlength"
_QUOTED_FIELD = re.compile(r"'([a-z_]\w*(?:\[\d+\]|\.\w+)*)'")
_FIELD_OF_PROMPT = re.compile(r"(messages|input|prompt|instructions|system|content)(?![\w-])(?!.*\b(name|\w*id)$)")
"""A field whose length is that of the prompt; a name in there has a bound of its own, which is that of all models."""


def is_mistake(keys: Iterable[str], param: str) -> bool:
    """Return whether an error tells a mistake of the caller: by a code, of which `keys` are the letters, or a field."""
    return any(_CODE.fullmatch(key) for key in keys) or _FIELD.match(param) is not None


def is_certain(codes: Iterable[str], param: str, message: str) -> bool:
    """Return whether a refusal tells for certain of a mistake of the caller, which no other model would take.

    That is so where it has a code for one, or names a field of the request, and does not say that this model is unable.
    """
    if any(_CODE.fullmatch(letters_of(code)) for code in codes):
        return True
    lowered = message.lower()[:_LONGEST_READ]
    if _UNABLE.search(lowered):
        return False
    return _FIELD.match(param) is not None or _IN_WORDS.search(lowered) is not None


def letters_of(code: str) -> str:
    """Return the letters and digits of a code, in lower case."""
    return _NOT_LETTERS.sub("", code.lower())


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
