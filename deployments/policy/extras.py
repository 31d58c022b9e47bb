"""Fields beside an answer that are passed on as they are: reasoning, log probabilities, a provider's own fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct


class Extras(Struct, frozen=True):
    """Fields beside the text and the tool calls of an answer, in OpenAI's form; or those that a stream gives at a time.

    Attributes:
        body: fields of the completion: `system_fingerprint`, `service_tier`, a provider's own.
        choice: fields of the choice: `logprobs`, a provider's own.
        message: fields of the message: `reasoning_content`, `reasoning`, `annotations`, `audio`, a provider's own.
        usage: the whole `usage` object, with its details.
        others: the further choices where the caller asked for several (`n`), as they came.
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

    Parts of a text are joined, lists are joined, objects are combined field by field; of all other values the last one
    counts.
    """
    parts = [part for part in parts if part]
    if len(parts) < 2:  # noqa: PLR2004 - nothing to combine
        return parts[0] if parts else NO_EXTRAS
    return Extras(
        _combine_objects([part.body for part in parts], joined=False),
        _combine_objects([part.choice for part in parts]),
        _combine_objects([part.message for part in parts]),
        _combine_objects([part.usage for part in parts], joined=False),
        tuple(choice for part in parts for choice in part.others),
    )


def _combine_objects(objects: Sequence[Mapping[str, Any]], *, joined: bool = True) -> dict[str, Any]:
    """Combine objects; where not `joined`, of each field the last value counts."""
    values: dict[str, list[Any]] = {}
    for each in objects:
        for key, value in each.items():
            if value is not None:
                values.setdefault(key, []).append(value)
    return {key: _combine_values(found) if joined else found[-1] for key, found in values.items()}


def _combine_values(values: list[Any]) -> Any:
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return [item for value in values for item in value]
    if all(isinstance(value, Mapping) for value in values):
        return _combine_objects(values)
    return values[-1]
