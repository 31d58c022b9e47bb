"""Fields beside an answer that are passed on as they are: reasoning, log probabilities, a provider's own fields."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

MAX_FIELD_DEPTH = 64
"""The deepest nesting of a field beside an answer; a deeper one is left out."""

WRITTEN_OUTPUT = "written_output"
"""The field of the body with all parts of an answer (items, blocks) as its model wrote them: for callers of the format
that it was written in, where some of them have no place in a chat."""

OUTPUT_ITEMS = "output_items"
"""The field of a message with such parts one by one: `{"added": part}` as one begins, `{"done": part}` at its end."""

_WHOLE = frozenset({"id", "type", "format", "index", "role", "object"})
"""Fields whose texts are whole wherever they come: what comes later takes the place of what came before."""


class Extras(Struct, frozen=True):
    """Fields beside the text and the tool calls of an answer, in OpenAI's form; or those that a stream gives at a time.

    Attributes:
        body: fields of the completion: `system_fingerprint`, `service_tier`, a provider's own.
        choice: fields of the choice: `logprobs`, a provider's own.
        message: fields of the message: `reasoning_content`, `reasoning`, `annotations`, `audio`, a provider's own.
        usage: the whole `usage` object, with its details.
        others: the further choices where the caller asked for several (`n`), whole.
    """

    body: Mapping[str, Any] = {}
    choice: Mapping[str, Any] = {}
    message: Mapping[str, Any] = {}
    usage: Mapping[str, Any] = {}
    others: tuple[Mapping[str, Any], ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is any field."""
        return bool(self.body or self.choice or self.message or self.usage or self.others)

    def to_json(self) -> dict[str, Any]:
        """Return the parts that have fields, by their names, as the native API gives them."""
        parts = {
            "body": self.body,
            "choice": self.choice,
            "message": self.message,
            "usage": self.usage,
            "others": list(self.others),
        }
        return {name: part for name, part in parts.items() if part}


NO_EXTRAS = Extras()


def combine(parts: Sequence[Extras]) -> Extras:
    """Return the parts of one answer as one, in the order in which they came.

    In a message and in `logprobs`, pieces of texts are joined, as `join_pieces` says; of all other fields the last
    value counts, field by field in objects.
    """
    parts = [part for part in parts if part]
    if len(parts) < 2:  # noqa: PLR2004 - nothing to combine
        return parts[0] if parts else NO_EXTRAS
    return Extras(
        merge_all([part.body for part in parts]),
        _join_choices([part.choice for part in parts]),
        join_pieces([part.message for part in parts]),
        merge_all([part.usage for part in parts]),
        tuple(choice for part in parts for choice in part.others),
    )


def merge(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both; of a field in both, `after` has the last word unless it is `null`."""
    return merge_all((before, after))


def merge_all(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of all, merged one behind the other as `merge` does, in time in proportion to their number."""
    return _merge(objects, 0)


def join_pieces(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the pieces of one object as one: as the streaming helper of OpenAI's SDK does, numbers aside.

    Pieces of a text are joined, but not those of fields that are whole wherever they come (`id`, `type` …). Items of
    lists are joined by their `index` where they have one; other lists are put behind each other. Objects are joined
    field by field. Of all other values the last one counts.
    """
    return _join_objects(objects, 0)


def fields_beside(fields: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the fields of an object that are passed on: not `known`, not empty, not nested too deep."""
    return {
        key: value
        for key, value in fields.items()
        if key not in known
        and (value or isinstance(value, (int, float)))  # 0 and `false` say something
        and (not isinstance(value, (list, dict)) or is_flat(value))
    }


def is_flat(value: Any) -> bool:
    """Return whether `value` is nested no deeper than fields may be; the walk keeps its own stack."""
    pending = [(value, 0)]
    while pending:
        child, depth = pending.pop()
        if not isinstance(child, (dict, list)):
            continue
        if depth >= MAX_FIELD_DEPTH:
            return False
        pending += [(each, depth + 1) for each in (child.values() if isinstance(child, dict) else child)]
    return True


def _merge(objects: Sequence[Mapping[str, Any]], depth: int) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for each in objects:
        for key, value in each.items():
            values.setdefault(key, []).append(value)
    return {key: found[0] if len(found) == 1 else _last_word(found, depth) for key, found in values.items()}


def _last_word(values: Sequence[Any], depth: int) -> Any:
    """Return the last value that is not `null`; of objects in a row, all their fields."""
    said = [value for value in values if value is not None]
    if not said or not isinstance(said[-1], Mapping) or depth >= MAX_FIELD_DEPTH:
        return said[-1] if said else None
    others = (place for place in range(len(said) - 1, -1, -1) if not isinstance(said[place], Mapping))
    row = said[next(others, -1) + 1 :]
    return _merge(row, depth + 1) if len(row) > 1 else row[0]


def _join_choices(choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    joined = merge_all(choices)
    logprobs = [choice["logprobs"] for choice in choices if isinstance(choice.get("logprobs"), Mapping)]
    return {**joined, "logprobs": join_pieces(logprobs)} if len(logprobs) > 1 else joined


def _join_objects(objects: Sequence[Mapping[str, Any]], depth: int) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for each in objects:
        for key, value in each.items():
            if value is not None:
                values.setdefault(key, []).append(value)
    return {key: _join_values(key, found, depth) for key, found in values.items()}


def _join_values(key: str, values: list[Any], depth: int) -> Any:
    if len(values) == 1 and not _is_indexed(values[0]):
        return values[0]
    if key in _WHOLE or depth >= MAX_FIELD_DEPTH:
        return values[-1]
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return _join_items([item for value in values for item in value], depth)
    if all(isinstance(value, Mapping) for value in values):
        return _join_objects(values, depth + 1)
    return values[-1]


def _join_items(items: list[Any], depth: int) -> list[Any]:
    """Join the items with the same `index`, in the order of their first pieces; all others stand for themselves."""
    if not _is_indexed(items):
        return items
    groups: dict[Any, list[Any]] = {}
    for place, item in enumerate(items):
        index = item.get("index") if isinstance(item, Mapping) else None
        groups.setdefault(index if isinstance(index, (int, str)) else ("single", place), []).append(item)
    return [_join_objects(group, depth + 1) if len(group) > 1 else group[0] for group in groups.values()]


def _is_indexed(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, Mapping) and "index" in item for item in value)
