"""The rule for what counts as no answer. Every tier is held to it.

These are blank:

- `None`;
- text or bytes with nothing visible in it (white space, control and zero-width characters);
- an empty collection, array or tensor;
- a collection whose leaves are all blank;
- a number that is NaN (so an array of nothing but NaN is blank, too).

`0`, `False` and infinity are answers.
"""

import math
import unicodedata
from collections import UserString
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

# Format (zero-width joiners, direction marks), control, and the three kinds of separator.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})

_LEAVES = frozenset({str, int, float, bool, type(None)})

_LAST_INVISIBLE_BYTE, _DELETE = 0x20, 0x7F


def is_blank(value: Any) -> bool:
    """Return whether `value` is no answer.

    Arrays and tensors of any library are recognised by their `tolist` method. The walk keeps its own stack,
    so neither deep nesting nor a collection that contains itself makes it fail.
    """
    if isinstance(value, str):  # by far the most frequent output, answered without the walk
        return _is_blank_text(value)
    pending = [value]
    seen: dict[int, Any] = {}  # keeps the objects: a list from `tolist` that was freed would leave its id to the next
    while pending:
        leaf = pending.pop()
        children = _children(leaf)
        if children is None:
            if not _is_blank_leaf(leaf):
                return False
        elif id(leaf) not in seen:
            seen[id(leaf)] = leaf
            pending.extend(children)
    return True


def _children(value: Any) -> Sequence[Any] | None:
    sort = type(value)  # what JSON decodes to is by far the most frequent, and told at once
    if sort is list:
        return cast("list[Any]", value)
    if sort in _LEAVES:
        return None
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (str, bytes, bytearray, UserString)):
        return None
    if isinstance(value, (Sequence, AbstractSet)):
        return list(value)
    if hasattr(value, "tolist"):
        # One list whatever the rank; a 0-d array gives the bare number.
        return [value.tolist()]
    return None


def _is_blank_leaf(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, (str, UserString)):  # a UserString is a sequence of UserStrings: the walk would never end
        return _is_blank_text(str(value))
    if isinstance(value, (bytes, bytearray)):
        return all(byte <= _LAST_INVISIBLE_BYTE or byte == _DELETE for byte in value)
    return isinstance(value, (float, complex)) and value != value and not _is_infinite(value)  # noqa: PLR0124 - NaN


def _is_infinite(value: complex) -> bool:
    return math.isinf(value.real) or math.isinf(value.imag)


def _is_blank_text(text: str) -> bool:
    # Nearly every answer is settled by its first character, and white space without end by its first other one.
    text = text.lstrip()
    if text and text[0].isalnum():
        return False
    return all(ch.isspace() or unicodedata.category(ch) in _INVISIBLE_CATEGORIES for ch in text)
