"""Whether a text can come to an end in a schema: one that leads back to itself may never let it."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

DEFINITIONS = "#/$defs/"


def comes_to_an_end(root: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether `root`, and everything in `definitions`, has a text of finite length.

    Args:
        root: a schema as `xgrammar_schema` writes it; its references are `DEFINITIONS` and a name in `definitions`.
        definitions: schemas by their names.
    """
    ended: set[str] = set()
    while found := [name for name in definitions if name not in ended and _ends(definitions[name], ended)]:
        ended.update(found)
    return len(ended) == len(definitions) and _ends(root, ended)


def _ends(schema: Mapping[str, Any], ended: AbstractSet[str]) -> bool:
    """Whether `schema` has a text of finite length if what is in `ended` has one."""
    if "$ref" in schema:
        return schema["$ref"].removeprefix(DEFINITIONS) in ended
    if "anyOf" in schema:
        return any(_ends(option, ended) for option in schema["anyOf"])
    needed = [schema["properties"][name] for name in schema.get("required", ())]
    needed += schema.get("prefixItems", ())
    needed += [schema["items"]] if schema.get("minItems") else []
    return all(_ends(below, ended) for below in needed)
