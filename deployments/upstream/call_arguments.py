"""Reads the arguments of a call from their pieces.

They are pieces of a text. Some providers repeat in each delta all that came before, or give an object instead of a
text: the reading that is a JSON object counts, that of pieces first. A `{}` before all others only keeps the place. The
last piece alone is one only where those before it were whole, too, and it has all that they have: behind half a value
it is not what was meant. No arguments mean `{}`.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from deployments.policy.extras import MAX_FIELD_DEPTH
from deployments.upstream.decoding import object_text

_NOTHING = frozenset({"", "null"})


def joined_arguments(pieces: Sequence[str]) -> str | None:
    """Return the arguments of a function that `pieces` are, as a JSON object; `None` where they are none."""
    joined = "".join(pieces)
    if joined.strip() in _NOTHING:
        return "{}"
    for reading in ("".join, _cumulated, _behind_places):
        if (found := object_text(reading(pieces))) is not None:
            return found
    return _replaced(pieces)


def keeps_a_place(piece: str) -> bool:
    """Return whether a piece may stand for arguments that are still to come."""
    return piece.strip() in _NOTHING or piece.strip() == "{}"


def go_on(arguments: str, piece: str) -> bool:
    """Return whether `piece` is a JSON object that has all of `arguments`, which are one, and maybe more."""
    found = object_text(piece)
    return found is not None and _grows(orjson.loads(arguments), orjson.loads(found))


def _behind_places(pieces: Sequence[str]) -> str:
    first = next((place for place, piece in enumerate(pieces) if not keeps_a_place(piece)), 0)
    return "".join(pieces[first:])


def _cumulated(pieces: Sequence[str]) -> str:
    """Return the arguments where each piece that begins with all of the text so far takes its place."""
    kept: list[str] = []
    length = 0
    for piece in pieces:
        if len(piece) >= length and piece.startswith("".join(kept)):
            kept, length = [], 0
        kept.append(piece)
        length += len(piece)
    return "".join(kept)


def _replaced(pieces: Sequence[str]) -> str | None:
    """Return the last piece where it takes the place of those before it: they are whole, and it has all of them."""
    *earlier, last = (piece for piece in pieces if piece.strip() not in _NOTHING)
    found = object_text(last)
    if found is None:
        return None
    whole = object_text("".join(earlier))
    before = [object_text(piece) for piece in earlier] if whole is None else [whole]
    value = orjson.loads(found)
    return found if all(text is not None and _grows(orjson.loads(text), value) for text in before) else None


def _grows(before: Any, after: Any, depth: int = 0) -> bool:
    """Return whether `after` is `before`, with more in it: as what was read of a text at two moments is."""
    if before is None or depth > MAX_FIELD_DEPTH:
        return True
    match before, after:
        case dict(), dict():
            return all(key in after and _grows(value, after[key], depth + 1) for key, value in before.items())
        case list(), list():
            pairs = zip(before, after, strict=False)
            return len(before) <= len(after) and all(_grows(*pair, depth + 1) for pair in pairs)
        case (bool(), _) | (_, bool()):
            return before is after
        case (str(), str()) | (int() | float(), int() | float()):
            return bool(before == after) or str(after).startswith(str(before))
    return False
