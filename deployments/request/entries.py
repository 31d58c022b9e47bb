"""Says of a fault in a list which entry of how many has it, whoever has found it: `messages[2].role`, entry 3 of 5."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import orjson
from msgspec.structs import replace

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import without_mark

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_TOLD = "(entry "

_P = ParamSpec("_P")
_T = TypeVar("_T")


def counting_entries(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return `read` with faults that tell which entry of the innermost list they are in.

    A request without a fault is only passed through: what was sent is looked at again where a fault names an entry.

    Args:
        read: a reader whose first argument is a body, as JSON or decoded.
    """

    @wraps(read)
    def counting(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except InvalidRequestError as error:
            if "[" not in error.problem.field or _TOLD in error.problem.message:
                raise
            body = args[0]
            data = orjson.loads(without_mark(body)) if isinstance(body, bytes) else body
            raise InvalidRequestError(_counted(error.problem, data)) from error

    return counting


def _counted(problem: Problem, data: Any) -> Problem:
    told = ""
    for name, number in _STEP.findall(problem.field):
        if number and isinstance(data, list | tuple) and int(number) < len(data):
            told = f" {_TOLD}{int(number) + 1} of {len(data)})"
            data = data[int(number)]
        elif name and isinstance(data, Mapping) and name in data:
            data = data[name]
        else:
            break
    return replace(problem, message=problem.message + told)
