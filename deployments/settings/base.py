"""The base of all settings."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from deployments.policy.knob import LEAST_SECONDS, MOST_SECONDS


class Settings(BaseModel):
    """Frozen, and every unknown key is an error: a misspelt setting never goes unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, data: Any) -> Any:
        """Refuse `true` and `false` where a number is wanted; pydantic would take them for 1 and 0."""
        kinds = {name: info.annotation for name, info in cls.model_fields.items()}
        return _truth_as_words(data, kinds)


def _truth_as_words(data: Any, kinds: Mapping[str, Any]) -> Any:
    """`data` with the words "true" and "false" for the booleans among its numbers, which pydantic refuses by itself."""
    if not isinstance(data, Mapping):
        return data
    changed = {}
    for key, value in data.items():
        kind = kinds.get(key)
        if isinstance(value, bool) and _is_number(kind):
            changed[key] = str(value).lower()
        elif isinstance(value, Mapping) and isinstance(kind, type) and is_dataclass(kind):
            changed[key] = _truth_as_words(value, {each.name: each.type for each in fields(kind)})
    return {**data, **changed}


def _is_number(kind: Any) -> bool:
    """Whether a field of `kind` holds a number, or a number or nothing."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in {Union, UnionType}:
        return bool not in get_args(kind) and any(_is_number(each) for each in get_args(kind))
    return kind in {int, float}


def has_a_port_that_exists(address: str) -> str:
    """The address of a server as it is.

    Raises:
        ValueError: its port is none that there could be: whoever connects to it would find out, and not who sets it.
    """
    port = urlsplit(address).port  # raises the same above 65535
    if port == 0:
        raise ValueError("Port out of range 1-65535")
    return address


Seconds = Annotated[float, Field(ge=LEAST_SECONDS, le=MOST_SECONDS, allow_inf_nan=False)]
NonEmpty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
ModelId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""Lower case letters, digits and `.`, `_`, `-`: it is a Serve application, a file name and part of a path."""
WITH_SPACES = ("feature-extraction", "text-ranking")
"""Tasks whose answers are vectors; a score is one of one number."""
VectorSpace = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/@-]{0,128}$")]
"""The name of a vector space; empty for none. Vectors can be compared within one space only."""
