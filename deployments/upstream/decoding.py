"""Reads JSON: what a lenient client can read is read.

JSON is decoded strictly first. Where that fails: bytes that are no UTF-8 become U+FFFD, NaN and control characters in
texts are accepted, and half a surrogate pair becomes U+FFFD. Only a content keeps a half at its edges, as its other
half may come with the next piece (`Surrogates`).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from deployments.policy.extras import MAX_FIELD_DEPTH

REPLACEMENT = "\ufffd"

_SMALLEST, _LARGEST, _LARGEST_FLOAT = -(2**63), 2**64 - 1, 10**300


def decode_json(data: bytes | str) -> Any:
    """Return the value that `data` is in JSON.

    Raises:
        ValueError: it is none, even for a lenient reader.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data if isinstance(data, str) else data.decode("utf-8", errors="replace")
        return _mended(_loads(text.strip("\ufeff\x00 \t\r\n")))


def object_text(text: str) -> str | None:
    """Return the JSON object that `text` is, in strict JSON; a text that was written as JSON twice is taken once."""
    try:
        value = decode_json(text)
        if isinstance(value, str):
            text, value = value, decode_json(value)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    return text if _is_strict(text) else orjson.dumps(value).decode()


def _is_strict(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def decode_values(data: bytes | str) -> list[Any]:
    """Return the values in one event: usually one, but some providers put several behind each other.

    Raises:
        ValueError: a part of it is no JSON.
    """
    try:
        return [decode_json(data)]
    except ValueError:
        text = data if isinstance(data, str) else data.decode("utf-8", errors="replace")
        return [_mended(value) for value in _several(text)]


def _several(text: str) -> Iterator[Any]:
    place = 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,\x00\ufeff":
            place += 1
        if text.startswith("data:", place):  # one event's field within another's
            place += len("data:")
            continue
        if place >= len(text):
            return
        try:
            value, place = _LENIENT.raw_decode(text, place)
        except RecursionError as error:
            raise ValueError("it is nested too deep") from error
        if not isinstance(value, (dict, list)):
            raise ValueError("it is not several objects")  # noqa: TRY004 - a caller tells errors of JSON by ValueError
        yield value


_LENIENT = json.JSONDecoder(strict=False)


def _loads(text: str) -> Any:
    try:
        return _LENIENT.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _mended(value: Any) -> Any:
    """Return `value` without lone surrogates, but for those at the edges of contents."""
    mended = _without_lone(value, 0)
    if isinstance(value, Mapping) and isinstance(value.get("choices"), list):
        for before, after in zip(value["choices"], mended["choices"], strict=True):
            for key in ("delta", "message"):
                said = before.get(key) if isinstance(before, Mapping) else None
                if isinstance(said, Mapping) and isinstance(said.get("content"), str):
                    after[key]["content"] = said["content"]
    return mended


def _without_lone(value: Any, depth: int) -> Any:
    if depth > MAX_FIELD_DEPTH:
        raise ValueError("it is nested too deep")
    match value:
        case str():
            return _paired(value)
        case dict():
            return {_paired(key): _without_lone(child, depth + 1) for key, child in value.items()}
        case list():
            return [_without_lone(child, depth + 1) for child in value]
        case int() if not _SMALLEST <= value <= _LARGEST:  # could not be written again
            return float(value) if abs(value) < _LARGEST_FLOAT else None
        case _:
            return value


def _paired(text: str) -> str:
    """Join the halves of surrogate pairs, and replace those that have no other half."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")


class Surrogates:
    """Joins a character that was cut in half between two pieces of a text: gateways written for UTF-16 cut that way."""

    def __init__(self) -> None:
        """Begin with nothing held back."""
        self._held = ""

    def feed(self, text: str) -> str:
        """Return `text`, with the half that was held back before it and without a first half at its end."""
        if self.is_idle_at(text):
            return text
        text, self._held = self._held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return _paired(text)

    def is_idle_at(self, text: str) -> bool:
        """Return whether `text` is passed on as it is."""
        return not self._held and (text.isascii() or not _has_surrogate(text))

    def finish(self) -> str:
        """Return a replacement for a half that is still held back."""
        held, self._held = self._held, ""
        return REPLACEMENT if held else ""


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
