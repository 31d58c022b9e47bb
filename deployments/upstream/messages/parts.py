"""The parts of OpenAI's messages as the content blocks of Anthropic's.

    text, refusal              a text; one without a visible character is left out, as Anthropic refuses those
    image_url, input_image     a picture, from data or from an address
    file                       a document: a PDF, or a text
    a block of Anthropic's     as it is: `document`, `image` and the like, which callers put among the parts of a chat
    anything else              what it is, in brackets: `[input_audio]`

`cache_control`, which some clients put into parts of OpenAI's form, stays.
"""

import re
from base64 import b64decode
from binascii import Error as BinasciiError
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.policy.blank import is_blank

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.ASCII)
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_BLOCKS = frozenset({"image", "document", "search_result", "container_upload"})
_PICTURES = ("image_url", "input_image")
CACHE = "cache_control"


def to_blocks(content: Any) -> list[dict[str, Any]]:
    """Return a content in OpenAI's form as blocks; a text, a list of parts, or nothing."""
    if isinstance(content, str):
        return text_blocks(content)
    if not isinstance(content, Sequence):
        return []
    blocks: list[dict[str, Any]] = []
    for part in content:
        if isinstance(part, Mapping):
            blocks += _cached(part, _block(part))
        elif isinstance(part, str):
            blocks += text_blocks(part)
    return blocks


def text_blocks(text: str) -> list[dict[str, Any]]:
    """Return a text as a block; as none where it is blank."""
    return [] if is_blank(text) else [{"type": "text", "text": text}]


def is_kept(block: Any) -> bool:
    """Return whether Anthropic takes a block, which may be any: it refuses texts without a visible character."""
    return not isinstance(block, Mapping) or block.get("type") != "text" or not is_blank(block.get("text"))


def _block(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    sort = str(part.get("type") or "text")
    if (key := _TEXTS.get(sort)) is not None:
        return text_blocks(str(part.get(key) or ""))
    if sort in _BLOCKS:
        return [dict(part)]
    if sort in _PICTURES and (url := _url_of(part)):
        return [{"type": "image", "source": _source(url)}]
    if sort == "file" and (document := _document(part.get("file"))):
        return [document]
    return [{"type": "text", "text": f"[{sort[:64]}]"}]


def _cached(part: Mapping[str, Any], blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if blocks and isinstance(part.get(CACHE), Mapping):
        blocks[-1] = {**blocks[-1], CACHE: part[CACHE]}
    return blocks


def _url_of(part: Mapping[str, Any]) -> str:
    told = part.get("image_url")
    url = told.get("url") if isinstance(told, Mapping) else told
    return url if isinstance(url, str) else ""


def _source(url: str) -> dict[str, Any]:
    if found := _DATA_URL.match(url):
        return {"type": "base64", "media_type": found[1] or "image/png", "data": url[found.end() :]}
    return {"type": "url", "url": url}


def _document(file: Any) -> dict[str, Any]:
    """Return a file as a document; empty where its bytes are not here, or are neither a PDF nor a text."""
    data = file.get("file_data") if isinstance(file, Mapping) else None
    if not isinstance(data, str) or (found := _DATA_URL.match(data)) is None:
        return {}
    title = {"title": str(file["filename"])} if file.get("filename") else {}
    encoded = data[found.end() :]
    if found[1] == "application/pdf":
        return {"type": "document", "source": {"type": "base64", "media_type": found[1], "data": encoded}, **title}
    if not str(found[1]).startswith("text/"):
        return {}
    try:
        text = b64decode(encoded, validate=True).decode()
    except (BinasciiError, UnicodeDecodeError):
        return {}
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **title}
