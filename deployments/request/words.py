"""What the type of a field accepts, in words: for errors, for `docs/api.md` and for `/openapi.json`.

The words come from the type and its bounds (`msgspec.Meta`). Where those do not say enough, `Meta(extra=...)` has:

    accepted     the words themselves
    one, many    a noun for it, "a token id" and "token ids", where it is one of several
    shown        of an `Any` whose value is read by itself: the type of what is read
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import inspect

_ANY_OBJECT, _FLAG = "an object", "true or false"


def unwrapped(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """Return a type without what is only said of it, and the `extra` of its `Meta`."""
    if isinstance(kind, inspect.Metadata):
        inner, beneath = unwrapped(kind.type)
        return inner, {**beneath, **(kind.extra or {})}
    return kind, {}


def accepted(kind: inspect.Type) -> str:
    """Return what `kind` accepts: "a whole number from 1 to 5"."""
    bare, said = unwrapped(kind)
    if words := said.get("accepted", said.get("one", "")):
        return str(words)
    if "shown" in said:
        return accepted(inspect.type_info(said["shown"]))
    match bare:
        case inspect.BoolType():
            return _FLAG
        case inspect.IntType():
            return f"a whole number{_range(bare)}"
        case inspect.FloatType():
            return f"a number{_range(bare)}"
        case inspect.StrType():
            return f"a text{_characters(bare)}"
        case inspect.LiteralType(values=values):
            return one_of([str(value).lower() if isinstance(value, bool) else str(value) for value in values])
        case inspect.CollectionType(item_type=item):
            return f"a list of {_count(bare)}{_several(item)}"
        case inspect.DictType(key_type=key, value_type=value):
            counted = _count(bare)
            names = unwrapped(key)[1].get("many", "names")
            rest = (
                "" if isinstance(unwrapped(value)[0], inspect.AnyType) else f" of {counted}{names} to {_several(value)}"
            )
            return _ANY_OBJECT + rest
        case inspect.StructType(fields=fields):
            return f"{_ANY_OBJECT} with {one_of([f'`{each.encode_name}`' for each in fields])}"
        case inspect.UnionType(types=kinds):
            told = [accepted(each) for each in kinds if not isinstance(each, inspect.NoneType)]
            return one_of(told, comma=True)
        case _:
            return "any value"


def one_of(texts: Sequence[str], *, comma: bool = False) -> str:
    """Return `texts` as one: "a, b or c"; with `comma` also before the last one, where they are long."""
    if len(texts) < 2:  # noqa: PLR2004 - nothing to separate
        return "".join(texts)
    return f"{', '.join(texts[:-1])}{',' if comma else ''} or {texts[-1]}"


def _several(kind: inspect.Type) -> str:
    """Return the words for several of a kind: "texts of at most 5 characters"."""
    bare, said = unwrapped(kind)
    if words := said.get("many", ""):
        return str(words)
    match bare:
        case inspect.IntType():
            return f"whole numbers{_range(bare)}"
        case inspect.FloatType():
            return f"numbers{_range(bare)}"
        case inspect.StrType():
            return f"texts{_characters(bare)}"
        case inspect.AnyType():
            return "values"
        case _:
            return f"values, each {accepted(kind)}"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    match kind.ge, kind.gt, kind.le:
        case (None, None, None):
            return ""
        case (None, None, most):
            return f" of at most {most}"
        case (None, least, None):
            return f" above {_plain(least)}"
        case (None, least, most):
            return f" above {_plain(least)} and at most {_plain(most)}"
        case (least, _, None):
            return f" from {_plain(least)} on"
        case (least, _, most):
            return f" from {_plain(least)} to {_plain(most)}"


def _plain(number: float | None) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _characters(kind: inspect.StrType) -> str:
    bounds = _bounds(kind.min_length, kind.max_length)
    return f" of {bounds} characters" if bounds else ""


def _count(kind: inspect.CollectionType | inspect.DictType) -> str:
    bounds = _bounds(kind.min_length, kind.max_length)
    return f"{bounds} " if bounds else ""


def _bounds(least: int | None, most: int | None) -> str:
    match least or 0, most:
        case 0, None:
            return ""
        case 0, _:
            return f"at most {most}"
        case _, None:
            return f"at least {least}"
        case _:
            return f"{least} to {most}"
