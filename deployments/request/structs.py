"""Reads a part of a request into a struct, and says what is wrong with one that does not fit.

A field of a format is one line in a struct: its name, its type with its bounds (`msgspec.Meta`), what it does, and what
a request has that does not send it. msgspec decides whether a value fits. It stops at the first fault with a sentence
of its own, in which bounds go without what was sent and lists without their lengths (msgspec's issues 264 and 721). So
where it refuses, the same types are walked once more for the place, what stands there, and what would be accepted.

A field that is `null` counts as not sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from msgspec import NODEFAULT, Meta, Struct, ValidationError, convert, inspect

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import kind
from deployments.request.words import accepted, unwrapped

_T = TypeVar("_T", bound=Struct)

_STEP = re.compile(r"[\w-]+|\.\.\.")

_LONGEST_NAME = 64
"""Characters that are quoted of the name of a field that the caller has chosen."""


def does(description: str, **extra: Any) -> Meta:
    """Say what a field does; `extra` is for `words` and `body_form`."""
    return Meta(description=description, extra=extra or None)


def field_names(struct: type[Struct]) -> tuple[str, ...]:
    """Return the names that the fields of `struct` have in a request."""
    return struct.__struct_encode_fields__


def read_struct(data: Mapping[str, Any], struct: type[_T], place: str = "") -> _T:
    """Read the fields of `struct` in `data`; fields that it has not are left alone.

    Args:
        data: the object.
        struct: what it is to be; all its fields but those without a default may be missing.
        place: where it stands in the request; empty for the body itself.

    Raises:
        InvalidRequestError: a field is not as it should be; the problem names the field.
    """
    try:
        return convert(data, struct)
    except ValidationError:
        sent = without_nulls(data)
    try:
        return convert(sent, struct)
    except ValidationError as error:
        found = _type_of(struct)
        fault = next(_faults_of_struct(found, sent, place, _path(str(error))), None)
        fault = fault or next(_faults_of_struct(found, sent, place, ()), None)
        raise InvalidRequestError(fault or Problem(place or "body", "is not valid", str(error))) from None


def without_nulls(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of `data` that were sent."""
    return {name: value for name, value in data.items() if value is not None} if None in data.values() else data


@cache
def _type_of(struct: type[Struct]) -> inspect.StructType:
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)  # noqa: S101 - that is what the type of a struct is
    return found


def _path(message: str) -> tuple[str, ...]:
    """Return the place that msgspec names, as names and numbers: only what is there has to be looked at.

    A list of a quarter of a million tokens would else be walked to its last one, while others wait.
    """
    return tuple(_STEP.findall(message.rpartition("`$")[2])) if "`$" in message else ()


def _faults_of_struct(
    struct: inspect.StructType, data: Mapping[str, Any], place: str, path: Sequence[str]
) -> Iterator[Problem]:
    for each in struct.fields:
        if path and path[0] != each.encode_name:
            continue
        name = f"{place}.{each.encode_name}" if place else each.encode_name
        if (value := data.get(each.encode_name)) is not None:
            yield from _faults(each.type, value, name, "", path[1:])
        elif each.default is NODEFAULT and each.default_factory is NODEFAULT:
            yield Problem(name, f"is {kind(None)}", accepted(each.type))


def _faults(
    declared: inspect.Type, value: Any, place: str, where: str, path: Sequence[str] = (), words: str = ""
) -> Iterator[Problem]:
    """Give the faults of `value`.

    Args:
        declared: the type of its field, or of an entry.
        value: what was sent.
        place: its place in the request.
        where: which entry of how many it is, in brackets; empty where it is none.
        path: where the fault is in it, as msgspec says; empty where that is not known.
        words: what is accepted there, if that is more than `declared`.
    """
    words = words or accepted(declared)
    bare, _ = unwrapped(declared)
    if isinstance(bare, inspect.UnionType):
        fitting = [each for each in bare.types if _is_of(unwrapped(each)[0], value)]
        faults = [next(_faults(each, value, place, where, path, words), None) for each in fitting]
        if fitting and all(faults):
            yield next(fault for fault in faults if fault)
            return
        if fitting:
            return
    if isinstance(bare, inspect.UnionType) or not _is_of(bare, value):
        yield Problem(place, f"is {kind(value)}{where}", words)
    elif told := _broken_bound(bare, value):
        yield Problem(place, told + where, words)
    else:
        yield from _faults_within(bare, value, place, path)


def _faults_within(bare: inspect.Type, value: Any, place: str, path: Sequence[str]) -> Iterator[Problem]:
    match bare:
        case inspect.CollectionType(item_type=item):
            known = path[0] if path else ""
            for number in (int(known),) if known.isdecimal() else range(len(value)):
                where = f" (entry {number + 1} of {len(value)})"
                yield from _faults(item, value[number], f"{place}[{number}]", where, path[1:])
        case inspect.DictType(key_type=key, value_type=item):
            for number, (name, each) in enumerate(value.items()):
                where = f" (entry {number + 1} of {len(value)})"
                yield from _faults(key, name, place, f" as a name{where}", words=accepted(bare))
                yield from _faults(item, each, f"{place}.{name[:_LONGEST_NAME]}", where)
        case inspect.StructType():
            yield from _faults_of_struct(bare, value, place, path)


def _is_of(bare: inspect.Type, value: Any) -> bool:
    """Return whether `value` is of the JSON type that `bare` has, whatever its bounds."""
    match bare:
        case inspect.AnyType():
            return True
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.LiteralType(values=values):
            return any(type(value) is type(each) for each in values)
        case inspect.CollectionType():
            return isinstance(value, list | tuple)
        case inspect.DictType() | inspect.StructType():
            return isinstance(value, Mapping)
        case _:
            return False


def _broken_bound(bare: inspect.Type, value: Any) -> str:
    """Return the bound that `value`, of the right JSON type, breaks; empty where it breaks none."""
    match bare:
        case inspect.IntType() | inspect.FloatType():
            try:
                number = float(value) if isinstance(bare, inspect.FloatType) else value
            except OverflowError:  # a whole number of hundreds of digits
                return "is out of range"
            low = (bare.ge is None or number >= bare.ge) and (bare.gt is None or number > bare.gt)
            return "" if low and (bare.le is None or number <= bare.le) else "is out of range"
        case inspect.StrType(pattern=pattern):
            told = _broken_length(bare, value, "characters")
            return told or ("" if pattern is None or _matches(pattern, value) else f"is {kind(value)} of another form")
        case inspect.LiteralType(values=values):
            return "" if value in values else "is none that is known here"
        case inspect.CollectionType():
            return _broken_length(bare, value, "entries")
        case inspect.DictType():
            return _broken_length(bare, value, "fields")
        case _:
            return ""


def _broken_length(
    bare: inspect.StrType | inspect.CollectionType | inspect.DictType, value: Sequence[Any] | Mapping[str, Any], of: str
) -> str:
    if len(value) < (bare.min_length or 0):
        return f"has {len(value)} {of}" if len(value) else f"is {kind(value)}"
    return f"has {len(value)} {of}" if bare.max_length is not None and len(value) > bare.max_length else ""


def _matches(pattern: str, value: str) -> bool:
    return re.search(pattern, value) is not None
