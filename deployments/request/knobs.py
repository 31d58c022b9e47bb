"""The kinds of sampling parameters: what each accepts, and how it is read. `sampling` has the parameters themselves."""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import refuse, to_number

MAX_STOPS = 64
MAX_STOP_CHARACTERS = 256
MAX_STOP_TOKENS = 64
MAX_BIASED = 1024
MAX_TOKEN = 10**9 - 1
"""The largest id of a token: of far more tokens than any vocabulary has."""

_MAX_BIAS = 100.0
_MAX_TOKEN_DIGITS = 9


class Knob(Protocol):
    """What a sampling parameter accepts."""

    def read(self, field: str, value: Any) -> Any:
        """Return `value`, which is not `null`, as it is held in `Parameters`.

        Raises:
            InvalidRequestError: the parameter does not accept it.
        """
        ...


class Number(Struct, frozen=True):
    """A number from `low` (excluded where `above_low`) to `high`."""

    low: float
    high: float
    above_low: bool = False

    def read(self, field: str, value: Any) -> float:
        """See `Knob`."""
        accepted = f"a number from {self.low:g} to {self.high:g}"
        if self.above_low:
            accepted = f"a number above {self.low:g} and at most {self.high:g}"
        number = to_number(field, value, accepted)
        if not self.low <= number <= self.high or (self.above_low and number == self.low):
            raise InvalidRequestError(Problem(field, "is out of range", accepted))
        return number


class Whole(Struct, frozen=True):
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def read(self, field: str, value: Any) -> int:
        """See `Knob`."""
        accepted = f"a whole number from {self.low} to {self.high}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise refuse(field, value, accepted)
        if not self.low <= value <= self.high:
            raise InvalidRequestError(Problem(field, "is out of range", accepted))
        return value


class Flag(Struct, frozen=True):
    """True or false."""

    def read(self, field: str, value: Any) -> bool:
        """See `Knob`."""
        if not isinstance(value, bool):
            raise refuse(field, value, "true or false")
        return value


class StopTexts(Struct, frozen=True):
    """A text, or a list of texts."""

    def read(self, field: str, value: Any) -> tuple[str, ...]:
        """See `Knob`."""
        accepted = (
            f"a text, or a list of at most {MAX_STOPS} texts, none of them empty or longer than "
            f"{MAX_STOP_CHARACTERS} characters"
        )
        stops = [value] if isinstance(value, str) else value
        if not isinstance(stops, list) or len(stops) > MAX_STOPS:
            raise refuse(field, value, accepted)
        # White space is a sensible stop text.
        if not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_CHARACTERS for stop in stops):
            raise InvalidRequestError(Problem(field, "holds what is no text, an empty one or a long one", accepted))
        return tuple(stops)


class TokenIds(Struct, frozen=True):
    """A list of the ids of tokens."""

    def read(self, field: str, value: Any) -> tuple[int, ...]:
        """See `Knob`."""
        accepted = f"a list of at most {MAX_STOP_TOKENS} token ids, from 0 to {MAX_TOKEN}"
        if not isinstance(value, list) or len(value) > MAX_STOP_TOKENS:
            raise refuse(field, value, accepted)
        if not all(is_token(token) for token in value):
            raise InvalidRequestError(Problem(field, "holds what is no token id", accepted))
        return tuple(value)


class Bias(Struct, frozen=True):
    """An object of token ids, which are texts, to numbers."""

    def read(self, field: str, value: Any) -> Mapping[str, float]:
        """See `Knob`."""
        accepted = f"an object of at most {MAX_BIASED} token ids to numbers from -{_MAX_BIAS:g} to {_MAX_BIAS:g}"
        if not isinstance(value, Mapping) or len(value) > MAX_BIASED:
            raise refuse(field, value, accepted)
        bias: dict[str, float] = {}
        for token, added in value.items():
            number = to_number(field, added, accepted)
            is_id = token.isascii() and token.isdecimal() and len(token) <= _MAX_TOKEN_DIGITS
            if not is_id or not -_MAX_BIAS <= number <= _MAX_BIAS:
                raise InvalidRequestError(Problem(field, "is out of range", accepted))
            bias[token] = number
        return bias


def is_token(value: Any) -> bool:
    """Return whether `value` can be the id of a token."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKEN
