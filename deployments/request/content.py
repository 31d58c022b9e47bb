"""The contents of OpenAI's messages: a text, or a list of parts.

    text, refusal            a text
    image_url, input_image   a picture      input_audio   a sound      video_url   a film      file   a file
    anything else            what its `type` says

Upstreams get every part as it was sent. A model of our own gets the texts, and `[image]` in the place of a picture: it
cannot see it, but is to know that there is one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_TYPE, kind, refuse

CONTENT = 'a text, or a list of parts such as {"type": "text", "text": ...}'

_TEXTS = {"text": "text", "refusal": "refusal"}
_NAMES = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "video_url": "video",
    "file": "file",
}

NoteFeature = Callable[[str, str], None]
"""Takes what a part asks of a model, and the place of the part."""


def plain_content(value: Any, place: str, note: NoteFeature) -> str:
    """Return a content as plain text, and tell `note` of each part that is none.

    Args:
        value: the content.
        place: its place in the request.
        note: is told of what only some models can read.

    Raises:
        InvalidRequestError: `value` is no content.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise refuse(place, value, CONTENT)
    return "\n".join(_read_part(part, f"{place}[{number}]", note) for number, part in enumerate(value))


def _read_part(part: Any, place: str, note: NoteFeature) -> str:
    if not isinstance(part, Mapping):
        raise refuse(place, part, CONTENT)
    sort = part.get("type")
    if not isinstance(sort, str) or not 0 < len(sort) <= MAX_TYPE:
        raise InvalidRequestError(Problem(f"{place}.type", f"is {kind(sort)}", CONTENT))
    if (key := _TEXTS.get(sort)) is None:
        name = _NAMES.get(sort, sort)
        note(name, f"{place}.type")
        return f"[{name}]"
    text = part.get(key)
    if not isinstance(text, str):
        raise InvalidRequestError(Problem(f"{place}.{key}", f"is {kind(text)}", "a text"))
    return text
