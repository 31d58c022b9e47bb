"""Knobs: the values of the policy that an operator may set, each with its bounds in one place.

A section of the policy is a frozen dataclass derived from `Knobs`. Its fields are the keys of the settings file, and
are declared with `knob`, `seconds` or `share`. The bounds stand in the metadata of the field, where pydantic finds them
when it reads a file (`ge`, `gt`, `le`, `allow_inf_nan`, `description` are its own names); `Knobs` holds values that are
built in Python to the same bounds. A section adds the rules between its fields in `contradictions`. Those hold for
files as well, as pydantic builds the same dataclass.
"""

import math
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

LEAST_SECONDS = 0.001
"""The shortest time that may be set: the resolution of a clock that has run for long is not much finer."""

MOST_SECONDS = 86_400.0

_T = TypeVar("_T", bool, int, float)

_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
_SIGNS = {"ge": "at least", "gt": "above", "le": "at most"}


def knob(
    default: _T, description: str, *, ge: float | None = None, gt: float | None = None, le: float | None = None
) -> _T:
    """Declare a field of a section: its default, what it does, and its bounds.

    Args:
        default: the value of the field unless it is set.
        description: one or two sentences for the reference of the configuration.
        ge: the least value.
        gt: a bound below the least value, and itself not allowed.
        le: the largest value.
    """
    bounds = {name: bound for name, bound in (("ge", ge), ("gt", gt), ("le", le)) if bound is not None}
    finite = {"allow_inf_nan": False} if isinstance(default, float) else {}
    declared: _T = field(default=default, metadata={"description": description, **bounds, **finite})
    return declared


def seconds(default: float, description: str) -> float:
    """Declare a field that is a time in seconds, from a millisecond to a day."""
    return knob(default, description, ge=LEAST_SECONDS, le=MOST_SECONDS)


def share(default: float, description: str) -> float:
    """Declare a field that is a share, from 0 to 1."""
    return knob(default, description, ge=0, le=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """A section of the policy.

    Raises:
        ValueError: a value is outside of its bounds, or two values contradict each other. The text has one line for
            each fault: `<key>: <what is wrong>; accepted: <what is accepted>`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        """Check the bounds of each field, then the rules between the fields."""
        faults = [_fault(each, value) for each in fields(self) if not _fits(each, value := getattr(self, each.name))]
        if faults := faults or list(self.contradictions()):
            raise ValueError("\n".join(faults))

    def contradictions(self) -> Iterator[str]:
        """Return a line for each broken rule between the fields; called only where each field is within its bounds."""
        return iter(())


def _fits(each: "Field[Any]", value: object) -> bool:
    if each.type is bool or isinstance(value, bool):
        return each.type is bool and isinstance(value, bool)
    if not isinstance(value, int) and not (each.type is float and isinstance(value, float)):
        return False
    bounds = each.metadata
    return (
        -math.inf < value < math.inf  # false for NaN, too
        and value >= bounds.get("ge", -math.inf)
        and value > bounds.get("gt", -math.inf)
        and value <= bounds.get("le", math.inf)
    )


def _fault(each: "Field[Any]", value: object) -> str:
    bounds = [f"{sign} {each.metadata[name]:g}" for name, sign in _SIGNS.items() if name in each.metadata]
    kind = next(text for known, text in _KINDS.items() if each.type is known)
    return f"{each.name}: is {value!r}; accepted: {', '.join([kind, *bounds])}"
