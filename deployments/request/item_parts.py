"""The contents of items in OpenAI's Responses, read into the parts of its chats.

    input_text, output_text, text     a text
    refusal                           a text: what an assistant has said in the place of an answer
    input_image                       a picture, by its address
    input_file                        a file
    input_audio                       a sound, as it was sent
    anything else                     a part of its `type`, for upstreams, as it was sent

The annotations and log probabilities of an answer that is sent back are left out.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_TYPE, kind, refuse

ITEM_CONTENT = 'a text, or a list of parts such as {"type": "input_text", "text": ...}'

_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_FILE_FIELDS = ("filename", "file_data", "file_id", "file_url")
_IMAGE = "an address or a data URL: files of other services cannot be read here"


class ItemPart(Struct, frozen=True):
    """One part in the form of a chat, and its place in the request."""

    fields: Mapping[str, Any]
    place: str

    @property
    def is_text(self) -> bool:
        """Whether it is a text."""
        return bool(self.fields["type"] == "text")


def read_item_parts(value: Any, place: str) -> list[ItemPart]:
    """Return the parts of a content; a text is one part.

    Raises:
        InvalidRequestError: `value` is no content; the problem names the part.
    """
    if isinstance(value, str):
        return [ItemPart({"type": "text", "text": value}, place)]
    if not isinstance(value, list):
        raise refuse(place, value, ITEM_CONTENT)
    return [ItemPart(_read_part(part, f"{place}[{number}]"), f"{place}[{number}]") for number, part in enumerate(value)]


def read_item_text(value: Any, place: str) -> str:
    """Return a content that has to be texts alone.

    Raises:
        InvalidRequestError: it is something else.
    """
    parts = read_item_parts(value, place)
    for part in parts:
        if not part.is_text:
            raise InvalidRequestError(Problem(f"{part.place}.type", "is not text", "parts of text alone"))
    return "\n".join(text for part in parts if (text := part.fields["text"]))


def _read_part(part: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise refuse(place, part, ITEM_CONTENT)
    sort = part.get("type")
    if not isinstance(sort, str) or not 0 < len(sort) <= MAX_TYPE:
        raise InvalidRequestError(Problem(f"{place}.type", f"is {kind(sort)}", ITEM_CONTENT))
    if (key := _TEXTS.get(sort)) is not None:
        return {"type": "text", "text": _text(part, key, place)}
    match sort:
        case "input_image":
            url = part.get("image_url")
            if not isinstance(url, str) or not url:
                raise refuse(f"{place}.image_url", url, _IMAGE)
            detail = {"detail": part["detail"]} if part.get("detail") is not None else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case "input_file":
            found = {key: _text(part, key, place) for key in _FILE_FIELDS if part.get(key) is not None}
            if not found.keys() - {"filename"}:
                raise InvalidRequestError(Problem(place, "has no file", "one of file_data, file_id and file_url"))
            return {"type": "file", "file": found}
        case _:
            return part


def _text(fields: Mapping[str, Any], key: str, place: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise refuse(f"{place}.{key}", value, "a text")
    return value
