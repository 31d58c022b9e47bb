"""The content blocks of Anthropic's messages, read into the parts of OpenAI's.

    text             a text                     thinking            the reasoning of an assistant's turn
    image            a picture                  redacted_thinking   dropped: nobody else can read it
    document         a file, or its text        tool_use            a tool call of an assistant's turn
    search_result    a text                     tool_result         a tool's turn
    anything else    a part of its `type`, for upstreams, as it was sent

`cache_control` says how a provider may store a block, and changes nothing about an answer: it is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.conversation import Conversation
from deployments.request.fields import MAX_TYPE, kind, refuse

BLOCKS = 'a text, or a list of blocks such as {"type": "text", "text": ...}'

_IMAGE_SOURCE = '{"type": "base64", "media_type": "image/png", "data": ...} or {"type": "url", "url": ...}'
_DOCUMENT_SOURCE = 'an object whose `type` is base64, text or content, with "data" or "content"'
_NO_EFFECT = frozenset({"type", "cache_control"})
_KNOWN: Mapping[str, frozenset[str]] = {
    "text": frozenset({"text"}),
    "image": frozenset({"source"}),
    "document": frozenset({"source", "title", "context"}),
    "search_result": frozenset({"source", "title", "content"}),
    "thinking": frozenset({"thinking", "signature"}),
    "redacted_thinking": frozenset({"data"}),
    "tool_use": frozenset({"id", "name", "input", "caller"}),
    "tool_result": frozenset({"tool_use_id", "content", "is_error"}),
}
"""The fields of each block that are read, or that came with an answer."""

_DISABLED: Mapping[str, Any] = {"enabled": False}


class Block(Struct, frozen=True):
    """One block, and its place in the request."""

    kind: str
    fields: Mapping[str, Any]
    place: str

    def text(self, key: str) -> str:
        """Return the text in the field `key`.

        Raises:
            InvalidRequestError: it is none.
        """
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise InvalidRequestError(Problem(f"{self.place}.{key}", f"is {kind(value)}", "a text"))
        return value


def read_blocks(value: Any, place: str, conversation: Conversation) -> Sequence[Block]:
    """Return the blocks of a content; a text is one block.

    Args:
        value: the content.
        place: its place in the request.
        conversation: is told of the fields of blocks that no model can be asked for.

    Raises:
        InvalidRequestError: `value` is no content.
    """
    if isinstance(value, str):
        return (Block("text", {"text": value}, place),)
    if not isinstance(value, list):
        raise refuse(place, value, BLOCKS)
    return [_read(block, f"{place}[{number}]", conversation) for number, block in enumerate(value)]


def _read(block: Any, place: str, conversation: Conversation) -> Block:
    if not isinstance(block, Mapping):
        raise refuse(place, block, BLOCKS)
    sort = block.get("type")
    if not isinstance(sort, str) or not 0 < len(sort) <= MAX_TYPE:
        raise InvalidRequestError(Problem(f"{place}.type", f"is {kind(sort)}", BLOCKS))
    if (known := _KNOWN.get(sort)) is not None:
        for key, value in block.items():
            idle = value is None or key in _NO_EFFECT or (key == "citations" and _asks_for_no_citations(sort, value))
            if key not in known and not idle:
                conversation.note_foreign(key, f"{place}.{key[:64]}")
    return Block(sort, block, place)


def _asks_for_no_citations(sort: str, value: Any) -> bool:
    """Return whether `citations` asks for none; on a text it is a list of those that came with an answer."""
    return sort == "text" or value == _DISABLED


def to_part(block: Block) -> Mapping[str, Any]:
    """Return a block that is neither reasoning nor about tools as a part in OpenAI's form.

    Raises:
        InvalidRequestError: it lacks what its type has.
    """
    match block.kind:
        case "text":
            return _text(block.text("text"))
        case "image":
            return _image(block)
        case "document":
            return _document(block)
        case "search_result":
            found = [block.text("title"), block.text("source"), *_inner_texts(block)]
            return _text("\n".join(found))
        case _:
            return block.fields


def _text(text: str) -> Mapping[str, Any]:
    return {"type": "text", "text": text}


def _source(block: Block, accepted: str) -> Block:
    source = block.fields.get("source")
    if not isinstance(source, Mapping) or not isinstance(source.get("type"), str):
        raise refuse(f"{block.place}.source", source, accepted)
    return Block(source["type"], source, f"{block.place}.source")


def _image(block: Block) -> Mapping[str, Any]:
    source = _source(block, _IMAGE_SOURCE)
    match source.kind:
        case "base64":
            url = f"data:{source.text('media_type')};base64,{source.text('data')}"
        case "url":
            url = source.text("url")
        case _:
            raise InvalidRequestError(Problem(f"{source.place}.type", "is not supported", _IMAGE_SOURCE))
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: Block) -> Mapping[str, Any]:
    source = _source(block, _DOCUMENT_SOURCE)
    title, context = block.fields.get("title") or "", block.fields.get("context") or ""
    head = [each for each in (title, context) if isinstance(each, str) and each]
    match source.kind:
        case "text":
            return _text("\n".join([*head, source.text("data")]))
        case "content":
            return _text("\n".join([*head, *_inner_texts(source)]))
        case "base64":
            data = f"data:{source.text('media_type')};base64,{source.text('data')}"
            return {"type": "file", "file": {"filename": str(title) or "document", "file_data": data}}
        case _:
            raise InvalidRequestError(Problem(f"{source.place}.type", "is not supported", _DOCUMENT_SOURCE))


def _inner_texts(block: Block) -> list[str]:
    """Return the texts in the `content` of a block, which may hold nothing else.

    Raises:
        InvalidRequestError: it does.
    """
    value, place = block.fields.get("content"), f"{block.place}.content"
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise refuse(place, value, BLOCKS)
    for number, inner in enumerate(value):
        if not isinstance(inner, Mapping) or inner.get("type") != "text" or not isinstance(inner.get("text"), str):
            raise refuse(f"{place}[{number}]", inner, 'a block {"type": "text", "text": ...}')
    return [inner["text"] for inner in value]
