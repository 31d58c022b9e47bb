"""The sampling that a GGUF file recommends, read from the beginning of the file.

The format (ggml, docs/gguf.md): magic, version, number of tensors, number of entries; then each entry as its key, the
type of its value, and the value. The entries named `general.` come first. The reader of ggml's Python library would
read the whole tokenizer as well, which takes a second at every start.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_TEXT = 1 << 20
_MOST_ENTRIES = 256

_NAMES = {
    "general.sampling.temp": "temperature",
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.penalty_repeat": "repetition_penalty",
}


class _EndOfGeneralError(Exception):
    """What follows is no entry that could be one of `_NAMES`."""


def recommended_sampling(file: Path) -> Mapping[str, Any]:
    """Return the sampling parameters in the metadata of `file`, by the names of requests; empty where it has none.

    Raises:
        OSError: the file cannot be read.
    """
    found: dict[str, Any] = {}
    with file.open("rb") as opened:
        try:
            entries = _begin(opened)
            for _ in range(min(entries, _MOST_ENTRIES)):
                key, value = _entry(opened)
                if key in _NAMES:
                    found[_NAMES[key]] = value
        except _EndOfGeneralError:
            return found
    return found


def _begin(opened: IO[bytes]) -> int:
    """Return the number of entries."""
    if opened.read(4) != _MAGIC or _number(opened, "I") not in _VERSIONS:
        raise _EndOfGeneralError
    _number(opened, "Q")
    return int(_number(opened, "Q"))


def _entry(opened: IO[bytes]) -> tuple[str, Any]:
    key, kind = _text(opened), _number(opened, "I")
    if key.startswith("tokenizer."):
        raise _EndOfGeneralError
    return key, _value(opened, int(kind))


def _value(opened: IO[bytes], kind: int) -> Any:
    if kind in _SCALARS:
        return _number(opened, _SCALARS[kind])
    if kind == _STRING:
        return _text(opened)
    if kind == _ARRAY:
        of, size = int(_number(opened, "I")), int(_number(opened, "Q"))
        if size <= _MOST_ENTRIES and of != _ARRAY:
            return [_value(opened, of) for _ in range(size)]
    raise _EndOfGeneralError


def _text(opened: IO[bytes]) -> str:
    size = int(_number(opened, "Q"))
    if size > _MOST_TEXT:
        raise _EndOfGeneralError
    return opened.read(size).decode("utf-8", errors="replace")


def _number(opened: IO[bytes], code: str) -> Any:
    size = struct.calcsize(f"<{code}")
    read = opened.read(size)
    if len(read) < size:
        raise _EndOfGeneralError
    return struct.unpack(f"<{code}", read)[0]
